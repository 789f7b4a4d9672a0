//! Exponential back-off.

use std::time::Duration;

/// The delay after the first failure, short enough for a hiccup to go unnoticed.
const FIRST: Duration = Duration::from_millis(5);
/// The delays after consecutive failures: 5 ms, doubling up to 1 s.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The longest delay, so that recovery takes at most a second.
    pub(crate) const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) fn next_delay(&mut self) -> Duration {
        // 5 ms × 2⁸ already exceeds the longest delay.
        let delay = FIRST * 2u32.pow(self.failures.min(8));
        self.failures += 1;
        delay.min(Self::LONGEST)
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}
