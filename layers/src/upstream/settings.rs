//! The settings of a set.

use std::time::Duration;

/// The way in which an upstream is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// By load: of two upstreams that are drawn by their weights, the one with fewer open
    /// connections for its weight ("power of two choices"). The first of them is not drawn at
    /// random but in turn, so that without load the shares are exact.
    #[default]
    P2c,
    /// By client: the same [`Key`](super::Key) has the same upstream, at every instance, as long as
    /// that upstream can be used (weighted rendezvous hashing). If an upstream leaves, only its own
    /// clients move, and they spread over all others.
    Hash,
}

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The conditions on which an upstream that fails is left out.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Ejection {
    pub(super) failures: u32,
    pub(super) base: Duration,
    pub(super) longest: Duration,
    pub(super) share: f64,
}

impl Default for Ejection {
    fn default() -> Self {
        Ejection {
            failures: 3,
            base: Duration::from_secs(10),
            longest: Duration::from_secs(300),
            share: 0.5,
        }
    }
}

impl Ejection {
    /// Creates the default settings: after 3 failures in a row, for 10 s and 10 s longer each time,
    /// up to 300 s, and at most half of the set.
    pub fn new() -> Self {
        Ejection::default()
    }

    /// Sets the number of failures in a row after which an upstream is ejected. With 0, none ever
    /// is.
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// Sets the time of the first ejection, by which each further one is longer, and the longest
    /// time. For each `base` that an upstream serves after its return, its next ejection is shorter
    /// again by `base`. No time is longer than `longest`, or a year.
    pub fn time(mut self, base: Duration, longest: Duration) -> Self {
        self.longest = longest.clamp(SHORTEST, LONGEST);
        self.base = base.clamp(SHORTEST, self.longest);
        self
    }

    /// Sets the largest share of the set that is ejected at a time, from 0 to 1. It is rounded down
    /// to whole upstreams, but at least one can be ejected. The last upstream that can be used
    /// never is.
    pub fn max_share(mut self, share: f64) -> Self {
        self.share = share.clamp(0.0, 1.0);
        self
    }

    /// Returns how many of `upstreams` can be ejected at a time.
    pub(super) fn cap(&self, upstreams: usize) -> usize {
        ((upstreams as f64 * self.share) as usize).max(1)
    }
}

/// The settings of [`Upstreams`](super::Upstreams).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) balance: Balance,
    pub(super) attempt: Duration,
    pub(super) timeout: Duration,
    pub(super) retries: usize,
    pub(super) queue: usize,
    pub(super) slow_start: Duration,
    pub(super) ejection: Ejection,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            balance: Balance::P2c,
            attempt: Duration::from_secs(3),
            timeout: Duration::from_secs(9),
            retries: 2,
            queue: 128,
            slow_start: Duration::from_secs(10),
            ejection: Ejection::new(),
        }
    }
}
