//! A token bucket: so many a second, and a burst of so many after a pause.
//!
//! Its own, and not `governor`'s, for three reasons: a token that was taken for a client who is not there goes
//! back, it runs by Tokio's clock, and what is remembered of clients is bounded.

use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    /// A rate of nothing, or less, admits nobody; a burst is at least one.
    pub(crate) fn new(per_second: f64, burst: f64) -> Self {
        Rate {
            per_second: per_second.max(0.0),
            burst: burst.max(1.0),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
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

    /// Takes a token, or says when there is one; `None` is never.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Option<Duration>> {
        self.fill(rate, now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::try_from_secs_f64((1.0 - self.tokens) / rate.per_second).ok();
        // Rounded up, or it would be looked at a moment too soon.
        Err(wait.map(|wait| wait + Duration::from_nanos(1)))
    }

    pub(crate) fn give_back(&mut self) {
        self.tokens += 1.0;
    }

    /// Whether it is as if nothing had ever been taken.
    pub(crate) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        let mut filled = *self;
        filled.fill(rate, now);
        filled.tokens >= rate.burst
    }
}
