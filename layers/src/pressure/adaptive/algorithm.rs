//! How a limit follows from samples.

use std::time::Duration;

/// Computes a limit from samples, once for each window of time.
pub trait Algorithm: Send + 'static {
    /// Returns the next limit. [`Adaptive`](super::Adaptive) keeps it in its range, and does not
    /// let it grow while less than half of it is used.
    fn next(&mut self, window: &Window) -> f64;
}

/// The samples and the use of a limit in a window of time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// The current limit, with the fractions that earlier steps have left.
    pub limit: f64,
    /// The most permits that were in use.
    pub in_use: usize,
    /// The median of the samples.
    pub took: Duration,
}

impl Window {
    /// Returns whether the limit was reached, within a tenth.
    pub(super) fn is_full(&self) -> bool {
        self.in_use as f64 >= 0.9 * self.limit
    }
}
