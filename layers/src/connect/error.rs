//! The error of a connection that could not be made.

use super::{FailedAttempt, Target};
use crate::net::local::is_local;
use reagent::BoxError;
use std::{error::Error, fmt, io, time::Duration};

/// The error of a connection that could not be made.
///
/// The message says what was tried: the target, the time it took, and each address with its own
/// error. It does not repeat its [`source`](Error::source), which is the error of the resolver or of
/// the handshake. If no address was tried because this machine has run out of descriptors, memory or
/// ports, the source is the error of the last attempt, so that no peer is blamed for it.
#[derive(Debug)]
pub struct ConnectError {
    target: Target,
    kind: ConnectErrorKind,
    attempts: Vec<FailedAttempt>,
    elapsed: Duration,
    is_timeout: bool,
    source: Option<BoxError>,
}

/// The step at which a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The name could not be resolved, or has no addresses.
    Resolve,
    /// No address accepted a connection.
    Connect,
    /// The [preface](super::ConnectRequest::preface) could not be sent.
    Preface,
    /// The TLS handshake failed. With the feature `connect_tls`, the source is a `TlsClientError`.
    Tls,
}

impl ConnectErrorKind {
    /// Returns the kind in snake case: `resolve`, `connect`, `preface` or `tls`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Preface => "preface",
            Self::Tls => "tls",
        }
    }
}

/// A step that failed, before the rest is known.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: ConnectErrorKind,
    pub(super) source: Option<BoxError>,
}

impl ConnectError {
    pub(super) fn new(
        target: Target,
        failure: Failure,
        attempts: Vec<FailedAttempt>,
        elapsed: Duration,
        is_timeout: bool,
    ) -> Self {
        ConnectError {
            target,
            kind: failure.kind,
            attempts,
            elapsed,
            is_timeout,
            source: failure.source,
        }
    }

    /// Returns where a connection was to be made to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the step that failed.
    pub fn kind(&self) -> ConnectErrorKind {
        self.kind
    }

    /// Returns whether the [overall limit](super::Connect::timeout) ended it.
    pub fn is_timeout(&self) -> bool {
        self.is_timeout
    }

    /// Returns the failed attempts to connect, in the order in which they began. After the TCP
    /// connection was made, these are the attempts that failed before.
    pub fn attempts(&self) -> &[FailedAttempt] {
        &self.attempts
    }

    /// Returns how long it took.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns the kind of I/O error that describes this one best, for protocols that report it to
    /// their clients: `TimedOut` if a limit or the system ended the last attempt to answer, and
    /// otherwise that of the last attempt.
    pub fn io_kind(&self) -> io::ErrorKind {
        let kinds = || self.attempts.iter().map(|attempt| attempt.error().kind());
        let source = || self.source.as_ref()?.downcast_ref::<io::Error>();
        match self.kind {
            _ if self.is_timeout => io::ErrorKind::TimedOut,
            ConnectErrorKind::Connect if kinds().any(|kind| kind == io::ErrorKind::TimedOut) => {
                io::ErrorKind::TimedOut
            }
            ConnectErrorKind::Connect => kinds().next_back().unwrap_or(io::ErrorKind::Other),
            _ => source().map_or(io::ErrorKind::Other, io::Error::kind),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ConnectErrorKind::Resolve => "cannot resolve",
            ConnectErrorKind::Connect => "cannot connect to",
            ConnectErrorKind::Preface => "cannot send the first bytes to",
            ConnectErrorKind::Tls => "cannot begin TLS with",
        };
        write!(f, "{what} {}", self.target)?;
        if self.is_timeout {
            write!(f, " within {:.1?}", self.elapsed)?;
        }
        if self.kind != ConnectErrorKind::Connect {
            return Ok(());
        }
        for (number, attempt) in self.attempts.iter().enumerate() {
            let separator = if number == 0 { ": " } else { "; " };
            write!(f, "{separator}{attempt}")?;
        }
        Ok(())
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Some(source) = self.source.as_deref() {
            return Some(source);
        }
        let is_local = self
            .attempts
            .iter()
            .all(|attempt| is_local(attempt.error()));
        let last = self.attempts.last().filter(|_| is_local)?;
        Some(last.error())
    }
}
