//! A token bucket: a rate per second, and a burst after a pause.
//!
//! `governor` is not used, for three reasons: a token taken for a client that does not come is
//! given back, the bucket runs by Tokio's clock, and the number of clients it remembers is bounded.

use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    #[cfg(feature = "limit")]
    pub(crate) fn per_second(self) -> f64 {
        self.per_second
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn burst(self) -> f64 {
        self.burst
    }

    /// A rate of 0 or less admits nobody once the burst is used up. A burst is at least 1.
    pub(crate) fn new(per_second: f64, burst: f64) -> Self {
        Rate {
            per_second: per_second.max(0.0),
            burst: burst.max(1.0),
        }
    }
}

/// Rounds down to whole tokens, at most 2^63. Unlike `floor`, a cast is not a function call on
/// targets without SSE4.1.
fn whole(tokens: f64) -> f64 {
    tokens as i64 as f64
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Negative if some are reserved that are still to come.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Bucket {
            tokens: rate.burst,
            at: now,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst);
        self.at = now;
    }

    /// Takes a token, or returns the time until there is one; `None` means never.
    #[cfg(any(feature = "cluster", feature = "limit"))]
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Option<Duration>> {
        if self.take_some(rate, now, 1.0, 1.0) > 0.0 {
            return Ok(());
        }
        // Rounded up, so that the caller does not look again a moment too soon.
        let wait = self.wait(rate, 1.0);
        Err(wait.map(|wait| wait + Duration::from_nanos(1)))
    }

    /// Takes as many whole tokens as there are, up to `most`, but none if there are fewer than
    /// `least`.
    pub(crate) fn take_some(&mut self, rate: Rate, now: Instant, least: f64, most: f64) -> f64 {
        self.fill(rate, now);
        if self.tokens < least {
            return 0.0;
        }
        let taken = whole(self.tokens).min(most);
        self.tokens -= taken;
        taken
    }

    /// Takes one `part`th of the tokens, rounded down, up to `most`.
    #[cfg(feature = "bandwidth")]
    pub(crate) fn take_part(&mut self, part: f64, most: f64) -> f64 {
        let taken = whole(self.tokens / part).clamp(0.0, most);
        self.tokens -= taken;
        taken
    }

    /// Takes `count` tokens, even if they are still to come.
    #[cfg(feature = "bandwidth")]
    pub(crate) fn reserve(&mut self, count: f64) {
        self.tokens -= count;
    }

    /// Checks whether there are `count` tokens, which may be negative, or returns the time until
    /// then; `None` means never.
    #[cfg(feature = "bandwidth")]
    pub(crate) fn has(
        &mut self,
        rate: Rate,
        now: Instant,
        count: f64,
    ) -> Result<(), Option<Duration>> {
        self.fill(rate, now);
        // A rounding error is no reason to wait for another tick of the timer.
        if self.tokens + 0.001 >= count {
            return Ok(());
        }
        Err(self.wait(rate, count))
    }

    fn wait(&self, rate: Rate, count: f64) -> Option<Duration> {
        Duration::try_from_secs_f64((count - self.tokens) / rate.per_second).ok()
    }

    #[cfg(any(feature = "bandwidth", feature = "limit"))]
    pub(crate) fn give_back(&mut self, count: f64) {
        self.tokens += count;
    }

    /// Returns whether the bucket is full again, as if it had never been used.
    pub(crate) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        let mut filled = *self;
        filled.fill(rate, now);
        filled.tokens >= rate.burst
    }
}
