//! A token bucket: a rate per second, and a burst after a pause.
//!
//! Not `governor`'s, for three reasons: a token that was taken for a client that is not there goes
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

/// The whole tokens of a number, at most 2^63: without a call, which `floor` is where a processor may be an old one.
fn whole(tokens: f64) -> f64 {
    tokens as i64 as f64
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Less than none where some were promised that are still to come.
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
    #[cfg(feature = "limit")]
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Option<Duration>> {
        if self.take_some(rate, now, 1.0, 1.0) > 0.0 {
            return Ok(());
        }
        // Rounded up, or it would be looked at a moment too soon.
        let wait = self.wait(rate, 1.0);
        Err(wait.map(|wait| wait + Duration::from_nanos(1)))
    }

    /// Takes as many whole tokens as there are, up to `most`; none if there are not even `least`.
    pub(crate) fn take_some(&mut self, rate: Rate, now: Instant, least: f64, most: f64) -> f64 {
        self.fill(rate, now);
        if self.tokens < least {
            return 0.0;
        }
        let taken = whole(self.tokens).min(most);
        self.tokens -= taken;
        taken
    }

    /// Takes whole tokens of which there are `part` times as many, up to `most`.
    #[cfg(feature = "bandwidth")]
    pub(crate) fn take_part(&mut self, part: f64, most: f64) -> f64 {
        let taken = whole(self.tokens / part).clamp(0.0, most);
        self.tokens -= taken;
        taken
    }

    /// Takes `count` tokens, whether they are there or still to come.
    #[cfg(feature = "bandwidth")]
    pub(crate) fn reserve(&mut self, count: f64) {
        self.tokens -= count;
    }

    /// Says how long it takes until there are `count`, which may be less than none, or that there are.
    #[cfg(feature = "bandwidth")]
    pub(crate) fn has(
        &mut self,
        rate: Rate,
        now: Instant,
        count: f64,
    ) -> Result<(), Option<Duration>> {
        self.fill(rate, now);
        // What a sum of fractions lacks is no reason to wait for another tick of the timers.
        if self.tokens + 0.001 >= count {
            return Ok(());
        }
        Err(self.wait(rate, count))
    }

    fn wait(&self, rate: Rate, count: f64) -> Option<Duration> {
        Duration::try_from_secs_f64((count - self.tokens) / rate.per_second).ok()
    }

    pub(crate) fn give_back(&mut self, count: f64) {
        self.tokens += count;
    }

    /// Whether it is as if nothing had ever been taken.
    pub(crate) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        let mut filled = *self;
        filled.fill(rate, now);
        filled.tokens >= rate.burst
    }
}
