//! The result of a drain.

use std::time::Duration;

/// The result of a drain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The number of connections that were open or queued when the drain began and finished on
    /// their own.
    pub finished: usize,
    /// The number of connections that were aborted at the deadline.
    pub aborted: usize,
    /// The number of connections that are still open: code outside their handlers holds them
    /// without using them, so that nothing can end them, or the runtime was shut down before the
    /// drain was over.
    pub remaining: usize,
    /// The duration of the drain.
    pub elapsed: Duration,
}
