//! The errors by which layers and handlers choose an outcome.

use std::{borrow::Cow, error::Error, fmt};

/// The error of a layer that does not admit a connection. It leads to the outcome
/// [`Outcome::Rejected`](crate::Outcome::Rejected).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a rejection takes effect as the error of a layer or a handler"]
pub struct Rejected {
    reason: Cow<'static, str>,
}

impl Rejected {
    /// Creates a rejection. The reason is one or two words, the same for every connection, since it
    /// becomes a label.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Rejected {
            reason: reason.into(),
        }
    }

    /// Returns the reason why the connection was not admitted.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rejected: {}", self.reason)
    }
}

impl Error for Rejected {}

/// The error of a time limit that ended a connection. It leads to the outcome
/// [`Outcome::TimedOut`](crate::Outcome::TimedOut).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a time-out takes effect as the error of a layer or a handler"]
pub struct TimedOut {
    kind: Cow<'static, str>,
}

impl TimedOut {
    /// Creates a timeout. The kind is one or two words, the same for every connection, such as
    /// `handshake`.
    pub fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        TimedOut { kind: kind.into() }
    }

    /// Returns the kind of the time limit, such as `handshake`.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out: {}", self.kind)
    }
}

impl Error for TimedOut {}

/// The error of a client that is let go because the server drains and the client has sent nothing.
/// It leads to the outcome [`Outcome::Drained`](crate::Outcome::Drained).
#[derive(Clone, Copy, Debug)]
pub(crate) struct LetGo;

impl fmt::Display for LetGo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server is draining and the client had sent nothing")
    }
}

impl Error for LetGo {}
