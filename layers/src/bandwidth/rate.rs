//! What is allowed: rates, for each direction, and quotas.

use crate::client::bucket;

/// A turn is no more than this, so that the connections behind it do not wait long: what a TLS record holds
/// (RFC 8446, section 5.1).
const TURN: u64 = 16 * 1024;

/// A turn, and a burst unless set, is what a rate gives in this part of a second.
const PART: u64 = 10;

/// Tokio's timers tick once a millisecond (`tokio::time::sleep`) and come late by up to two; with a smaller
/// burst than what comes in five, that would be lost.
const TICKS: u64 = 200;

/// A rate in bytes per second, and a burst of bytes at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub(super) per_second: u64,
    pub(super) burst: u64,
}

impl Rate {
    /// Creates a rate with a burst of what goes in a tenth of a second, and of one byte at least.
    ///
    /// A rate of 0 lets the burst through and then nothing, until it is changed. For no limit there is
    /// [`Rates::NONE`].
    pub const fn new(bytes_per_second: u64) -> Self {
        Rate {
            per_second: bytes_per_second,
            burst: 0,
        }
        .burst(bytes_per_second / PART)
    }

    /// Sets the burst, in bytes. It is at least 1, and at least what goes in 5 milliseconds, since timers are
    /// no finer than that.
    pub const fn burst(mut self, bytes: u64) -> Self {
        let least = self.per_second / TICKS + 1;
        self.burst = if bytes < least { least } else { bytes };
        self
    }

    /// How many bytes go at once at most for a connection that has to wait.
    pub(super) fn turn(self) -> u64 {
        (self.per_second / PART).clamp(1, TURN.min(self.burst))
    }

    pub(super) fn bucket(self) -> bucket::Rate {
        bucket::Rate::new(self.per_second as f64, self.burst as f64)
    }
}

/// A rate for what the client sends, one for what it is sent, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub(super) ways: [Option<Rate>; 2],
}

impl Rates {
    /// No limit.
    pub const NONE: Rates = Rates { ways: [None; 2] };

    /// Limits what the client sends.
    pub const fn read(rate: Rate) -> Self {
        Rates {
            ways: [Some(rate), None],
        }
    }

    /// Limits what the client is sent.
    pub const fn write(rate: Rate) -> Self {
        Rates {
            ways: [None, Some(rate)],
        }
    }

    /// Limits each direction by another rate.
    pub const fn each(read: Rate, write: Rate) -> Self {
        Rates {
            ways: [Some(read), Some(write)],
        }
    }
}

/// The same for either direction.
impl From<Rate> for Rates {
    fn from(rate: Rate) -> Self {
        Rates::each(rate, rate)
    }
}

/// The same for either direction, or none.
impl From<Option<Rate>> for Rates {
    fn from(rate: Option<Rate>) -> Self {
        rate.map_or(Rates::NONE, Rates::from)
    }
}

/// A limit of the bytes of a connection in total; unlimited unless set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub(super) ways: [u64; 2],
    pub(super) total: u64,
}

impl Quota {
    /// Unlimited.
    pub const NONE: Quota = Quota {
        ways: [u64::MAX; 2],
        total: u64::MAX,
    };

    /// Creates an unlimited quota.
    pub const fn new() -> Self {
        Quota::NONE
    }

    /// Limits the bytes that the client sends.
    pub const fn read(mut self, bytes: u64) -> Self {
        self.ways[0] = bytes;
        self
    }

    /// Limits the bytes that the client is sent.
    pub const fn write(mut self, bytes: u64) -> Self {
        self.ways[1] = bytes;
        self
    }

    /// Limits the bytes of both directions together.
    pub const fn total(mut self, bytes: u64) -> Self {
        self.total = bytes;
        self
    }
}

impl Default for Quota {
    fn default() -> Self {
        Quota::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_small_by_bytes_by_time_and_by_burst() {
        assert_eq!(Rate::new(100_000_000).turn(), TURN);
        assert_eq!(Rate::new(1000).burst(1_000_000).turn(), 100);
        assert_eq!(Rate::new(1000).burst(50).turn(), 50);
        assert_eq!(Rate::new(0).turn(), 1);
    }

    #[test]
    fn a_burst_is_no_finer_than_timers_and_never_nothing() {
        assert_eq!(Rate::new(0).burst, 1);
        assert_eq!(Rate::new(1_000_000).burst, 100_000);
        assert_eq!(Rate::new(1_000_000).burst(1).burst, 5001);
        assert_eq!(Rate::new(u64::MAX).burst(u64::MAX).burst, u64::MAX);
    }
}
