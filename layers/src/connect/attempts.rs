//! The attempts to connect, for errors.

use reagent::Addr;
use std::{error::Error, fmt, io, sync::Arc, time::Duration};
use tokio::time::Instant;

/// An attempt to connect to one address, and how it failed.
#[derive(Clone, Debug)]
pub struct FailedAttempt {
    addr: Addr,
    error: Arc<io::Error>,
    after: Duration,
}

impl FailedAttempt {
    /// Returns the address.
    pub fn addr(&self) -> &Addr {
        &self.addr
    }

    /// Returns the error. Its kind is [`TimedOut`](io::ErrorKind::TimedOut) if a time limit ended
    /// the attempt.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// Returns how long the attempt took.
    pub fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for FailedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} after {:.1?}", self.addr, self.error, self.after)
    }
}

impl Error for FailedAttempt {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The attempts of one connection, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Attempts(Vec<Attempt>);

#[derive(Debug)]
struct Attempt {
    addr: Addr,
    began: Instant,
    /// `None` while the attempt is under way.
    failed: Option<(io::Error, Duration)>,
}

impl Attempts {
    /// Records the beginning of an attempt, and returns its number.
    pub(super) fn begin(&mut self, addr: impl Into<Addr>) -> usize {
        self.0.push(Attempt {
            addr: addr.into(),
            began: Instant::now(),
            failed: None,
        });
        self.0.len() - 1
    }

    pub(super) fn fail(&mut self, number: usize, error: io::Error) {
        let attempt = &mut self.0[number];
        attempt.failed = Some((error, attempt.began.elapsed()));
    }

    /// Forgets those that have not failed, after one of them was successful.
    pub(super) fn end(&mut self) {
        self.0.retain(|attempt| attempt.failed.is_some());
    }

    /// Returns how they failed. Those that are under way have taken too long.
    pub(super) fn into_failed(self) -> Vec<FailedAttempt> {
        let failed = self.0.into_iter().map(|attempt| {
            let (error, after) = attempt
                .failed
                .unwrap_or_else(|| (timed_out(), attempt.began.elapsed()));
            FailedAttempt {
                addr: attempt.addr,
                error: Arc::new(error),
                after,
            }
        });
        failed.collect()
    }
}

/// The error of an attempt that was ended by a time limit.
pub(super) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer")
}
