//! Why no upstream could be connected to.

use super::{health::Failure, shared::NoPlace};
use crate::net::local;
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
            write!(f, "{upstream}: {error}")?;
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
    /// to any upstream: descriptors, memory, buffers or ports.
    pub fn is_local(error: &io::Error) -> bool {
        local::is_local(error)
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
    let failure = match is_blameless(&**error) {
        true => Failure::Local,
        false => Failure::Connect,
    };
    (failure, ErrorChain(&**error).to_string().into())
}

/// Returns whether an error, or one of its sources, is not the fault of the upstream.
pub(super) fn is_blameless(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    // The source of an I/O error is that of the error in it, which is passed over.
    let inner = io.and_then(io::Error::get_ref);
    error.is::<Blameless>()
        || io.is_some_and(Blameless::is_local)
        || inner.is_some_and(|inner| is_blameless(inner))
        || error.source().is_some_and(is_blameless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blameless_is_found_in_every_wrapper() {
        let local = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let marked = || Blameless::new("the client has left");
        let wrapped: [BoxError; 5] = [
            marked().into(),
            io::Error::other(marked()).into(),
            io::Error::other(io::Error::other(marked())).into(),
            io::Error::other(local()).into(),
            local().into(),
        ];
        for error in wrapped {
            assert!(is_blameless(&*error), "{error:?}");
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(!is_blameless(&refused) && !is_blameless(&io::Error::other(refused)));
    }
}
