//! Why no upstream could be connected to.

use super::{health::Failure, shared::NoPlace};
use reagent::{BoxError, ErrorChain};
use std::{error::Error, fmt, io, sync::Arc, time::Duration};

/// An attempt to connect to an upstream, which failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The name of the upstream.
    pub upstream: Arc<str>,
    /// What went wrong.
    pub error: Arc<str>,
    /// How long it took.
    pub took: Duration,
}

/// No upstream could be connected to.
#[derive(Clone, Debug)]
pub struct UpstreamError {
    pub(super) attempts: Vec<FailedAttempt>,
    pub(super) no_place: Option<NoPlace>,
}

impl UpstreamError {
    /// Returns the attempts that were made, in their order.
    pub fn attempts(&self) -> &[FailedAttempt] {
        &self.attempts
    }

    /// Returns whether there was no room: all upstreams had reached their limits, and the queue was
    /// full or the client has waited for too long.
    pub fn is_overloaded(&self) -> bool {
        matches!(
            self.no_place,
            Some(NoPlace::QueueFull | NoPlace::QueueTimeout)
        )
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.no_place {
            Some(NoPlace::QueueFull) => "all upstreams are at their limits, and the queue is full",
            Some(NoPlace::QueueTimeout) => "all upstreams were at their limits for too long",
            Some(NoPlace::NoUpstream) if self.attempts.is_empty() => "there is no upstream to use",
            Some(NoPlace::NoUpstream) | None => "no upstream could be reached",
        })?;
        for (index, attempt) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            let FailedAttempt {
                upstream, error, ..
            } = attempt;
            write!(f, "{separator}{upstream}: {error}")?;
        }
        Ok(())
    }
}

impl Error for UpstreamError {}

/// Returns the text of an error, and whose failure it is.
pub(super) fn classify(error: &BoxError) -> (Failure, Arc<str>) {
    let mut source: Option<&(dyn Error + 'static)> = Some(&**error);
    let mut failure = Failure::Connect;
    while let Some(error) = source {
        if error.downcast_ref().is_some_and(is_local) {
            failure = Failure::Local;
        }
        source = error.source();
    }
    (failure, ErrorChain(&**error).to_string().into())
}

/// Returns whether this machine has run out of something, so that no connection could be made to
/// anything.
fn is_local(error: &io::Error) -> bool {
    // ENFILE and EMFILE have these numbers on all systems like Unix.
    let is_out_of_descriptors = cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24));
    let kind = error.kind();
    is_out_of_descriptors
        || matches!(
            kind,
            io::ErrorKind::OutOfMemory | io::ErrorKind::AddrNotAvailable
        )
}
