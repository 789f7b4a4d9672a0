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
    /// The error.
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
            f.write_str(separator)?;
            // Many connectors name it.
            if !error.contains(&**upstream) {
                write!(f, "{upstream}: ")?;
            }
            f.write_str(error)?;
        }
        Ok(())
    }
}

impl Error for UpstreamError {}

/// An error that is not the fault of the upstream. If a connector returns it, or an error that has
/// it as a source, another upstream is tried, and this one is not ejected.
///
/// An [`io::Error`] for which [`is_local`](Self::is_local) is true has the same effect.
#[derive(Debug)]
pub struct Blameless(BoxError);

impl Blameless {
    /// Marks an error.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Blameless(error.into())
    }

    /// Returns whether this machine has run out of something, so that it could not have connected
    /// to any upstream: descriptors, memory or ports.
    pub fn is_local(error: &io::Error) -> bool {
        // ENFILE and EMFILE have these numbers on all systems like Unix.
        let is_out_of_descriptors = cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24));
        let kinds = [io::ErrorKind::OutOfMemory, io::ErrorKind::AddrNotAvailable];
        is_out_of_descriptors || kinds.contains(&error.kind())
    }
}

impl fmt::Display for Blameless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Blameless {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Returns the text of an error, and whose failure it is.
pub(super) fn classify(error: &BoxError) -> (Failure, Arc<str>) {
    let mut source: Option<&(dyn Error + 'static)> = Some(&**error);
    let mut failure = Failure::Connect;
    while let Some(error) = source {
        if error.is::<Blameless>() || error.downcast_ref().is_some_and(Blameless::is_local) {
            failure = Failure::Local;
        }
        source = error.source();
    }
    (failure, ErrorChain(&**error).to_string().into())
}
