//! How a connection ended: one taxonomy for events, spans, metrics and callers.

use crate::{BoxError, panic::Panic};
use std::{any::Any, borrow::Cow, error::Error, fmt, io, sync::Arc};

/// How a connection ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Its handler returned `Ok`.
    Completed,
    /// Its handler, or a layer, returned an error.
    Failed(Arc<dyn Error + Send + Sync>),
    /// A layer did not admit it.
    Rejected(Rejected),
    /// A time limit ended it.
    TimedOut(TimedOut),
    /// Its handler returned `Ok` after it had been told to finish.
    Drained,
    /// It was ended from outside: by [`ConnectionHandle::abort`](crate::ConnectionHandle::abort), or at
    /// the deadline of a drain.
    Aborted,
    /// Its handler panicked with this message.
    Panicked(Arc<str>),
}

/// The kinds of [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutcomeKind {
    Completed,
    Failed,
    Rejected,
    TimedOut,
    Drained,
    Aborted,
    Panicked,
}

impl OutcomeKind {
    pub const ALL: [OutcomeKind; 7] = [
        OutcomeKind::Completed,
        OutcomeKind::Failed,
        OutcomeKind::Rejected,
        OutcomeKind::TimedOut,
        OutcomeKind::Drained,
        OutcomeKind::Aborted,
        OutcomeKind::Panicked,
    ];
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl Outcome {
    pub fn kind(&self) -> OutcomeKind {
        OutcomeKind::ALL[self.index()]
    }

    /// One word for each, as a label: `completed`, `failed`, `rejected`, `timed_out`, `drained`,
    /// `aborted`, `panicked`.
    pub fn as_str(&self) -> &'static str {
        NAMES[self.index()]
    }

    pub(crate) fn index(&self) -> usize {
        match self {
            Outcome::Completed => 0,
            Outcome::Failed(_) => 1,
            Outcome::Rejected(_) => 2,
            Outcome::TimedOut(_) => 3,
            Outcome::Drained => 4,
            Outcome::Aborted => 5,
            Outcome::Panicked(_) => 6,
        }
    }

    /// Sorts an error by what it, or one of its sources, is.
    pub(crate) fn from_error<E: Into<BoxError> + 'static>(error: E) -> Self {
        let mut slot = Some(error);
        // What the system said of a socket, the most frequent of errors, is shared without being boxed.
        if let Some(slot) = (&mut slot as &mut dyn Any).downcast_mut::<Option<io::Error>>() {
            if let Some(error) = slot.take_if(|error| error.get_ref().is_none()) {
                return Outcome::Failed(Arc::new(error));
            }
        }
        match slot {
            Some(error) => Self::from_boxed(error.into()),
            None => unreachable!("taken only above, which returns"),
        }
    }

    fn from_boxed(error: BoxError) -> Self {
        let mut next: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(error) = next {
            if let Some(rejected) = error.downcast_ref::<Rejected>() {
                return Outcome::Rejected(rejected.clone());
            }
            if error.is::<tower::load_shed::error::Overloaded>() {
                return Outcome::Rejected(Rejected::new("overloaded"));
            }
            if let Some(timed_out) = error.downcast_ref::<TimedOut>() {
                return Outcome::TimedOut(timed_out.clone());
            }
            if error.is::<tower::timeout::error::Elapsed>()
                || error.is::<tokio::time::error::Elapsed>()
            {
                return Outcome::TimedOut(TimedOut::new("lifetime"));
            }
            // An `io::Error` passes over what it holds: its source is that error's source.
            next = match error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
            {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        Outcome::Failed(Arc::from(error))
    }

    /// Nobody saw it end: it was dropped, by whoever held it or by a panic there.
    pub(crate) fn dropped() -> Self {
        match std::thread::panicking() {
            true => Outcome::Panicked("outside of its handler's future".into()),
            false => Outcome::Aborted,
        }
    }

    /// The error it was, for those further out to see.
    pub(crate) fn into_result(self) -> Result<(), BoxError> {
        match self {
            Outcome::Failed(error) => Err(SharedError(error).into()),
            Outcome::Rejected(rejected) => Err(rejected.into()),
            Outcome::TimedOut(timed_out) => Err(timed_out.into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn from_panic(panic: &Panic) -> Self {
        Outcome::Panicked(panic.message().clone())
    }
}

/// An error that an outcome shares.
#[derive(Debug)]
struct SharedError(Arc<dyn Error + Send + Sync>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

pub(crate) const NAMES: [&str; 7] = [
    "completed",
    "failed",
    "rejected",
    "timed_out",
    "drained",
    "aborted",
    "panicked",
];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Failed(error) => write!(f, "failed: {error}"),
            Outcome::Rejected(rejected) => rejected.fmt(f),
            Outcome::TimedOut(timed_out) => timed_out.fmt(f),
            Outcome::Panicked(message) => write!(f, "panicked: {message}"),
            other => f.write_str(other.as_str()),
        }
    }
}

/// The error of a layer that does not admit a connection; it makes the outcome
/// [`Outcome::Rejected`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    reason: Cow<'static, str>,
}

impl Rejected {
    /// A rejection for `reason`: a word or two, the same for every connection, since it becomes a
    /// label.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Rejected {
            reason: reason.into(),
        }
    }

    /// Why.
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

/// The error of a time limit that ended a connection; it makes the outcome [`Outcome::TimedOut`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedOut {
    kind: Cow<'static, str>,
}

impl TimedOut {
    /// A time-out of this kind: a word or two, the same for every connection, such as `handshake`.
    pub fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        TimedOut { kind: kind.into() }
    }

    /// Which limit it was.
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
