//! An upstream of a set, and what is known about it.

use super::{
    description::Upstream,
    health::Health,
    stats::{UpstreamState, UpstreamStats},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// How likely an upstream is to serve. Only the most likely ones are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hope {
    /// Checks or failures say that it does not. If that is so of all, the program may be wrong.
    Unhealthy,
    /// One connection is finding it out.
    Tried,
    Healthy,
}

#[derive(Debug)]
pub(super) struct Member<T> {
    /// Identifies it among all that have ever been in the set.
    pub(super) number: u64,
    pub(super) upstream: Upstream<T>,
    /// The hash of the name.
    pub(super) hash: u64,
    pub(super) open: usize,
    pub(super) connecting: usize,
    pub(super) total: u64,
    pub(super) failures: u64,
    pub(super) last_error: Option<Arc<str>>,
    pub(super) health: Health,
    pub(super) is_drained: bool,
    pub(super) is_removed: bool,
    /// The state that was last reported, and since when it has been in it.
    pub(super) state: UpstreamState,
    pub(super) since: Instant,
}

impl<T> Member<T> {
    pub(super) fn new(number: u64, upstream: Upstream<T>, is_late: bool, now: Instant) -> Self {
        Member {
            number,
            hash: xxh3_64(upstream.name.as_bytes()),
            upstream,
            open: 0,
            connecting: 0,
            total: 0,
            failures: 0,
            last_error: None,
            health: Health::new(is_late, now),
            is_drained: false,
            is_removed: false,
            state: UpstreamState::Up,
            since: now,
        }
    }

    /// Returns the number of connections that count towards its limit and its load.
    pub(super) fn used(&self) -> usize {
        self.open + self.connecting
    }

    pub(super) fn has_room(&self) -> bool {
        self.used() < self.upstream.max
    }

    /// Returns whether the program wants connections to be made to it.
    pub(super) fn is_in_use(&self) -> bool {
        !self.is_drained && !self.is_removed
    }

    /// Returns how likely it is to serve.
    pub(super) fn hope(&self) -> Hope {
        match self.is_healthy() {
            false => Hope::Unhealthy,
            true if self.health.is_on_trial() && self.connecting > 0 => Hope::Tried,
            true => Hope::Healthy,
        }
    }

    /// Returns whether neither checks nor failures say that it does not serve.
    pub(super) fn is_healthy(&self) -> bool {
        !self.health.is_down() && !self.health.is_ejected()
    }

    /// Returns its weight, of which it has a share in a slow start.
    pub(super) fn weight(&self, slow_start: Duration, now: Instant) -> f64 {
        f64::from(self.upstream.weight) * self.health.share(slow_start, now)
    }

    pub(super) fn state(&self, slow_start: Duration, now: Instant) -> UpstreamState {
        match &self.health {
            _ if self.is_removed => UpstreamState::Removed,
            _ if self.is_drained => UpstreamState::Drained,
            health if health.is_down() => UpstreamState::Down,
            health if health.is_ejected() => UpstreamState::Ejected,
            health if health.is_on_trial() => UpstreamState::Trial,
            health if health.share(slow_start, now) < 1.0 => UpstreamState::SlowStart,
            _ => UpstreamState::Up,
        }
    }

    pub(super) fn stats(&self, now: Instant) -> UpstreamStats {
        UpstreamStats {
            name: self.upstream.name.clone(),
            weight: self.upstream.weight,
            max_connections: Some(self.upstream.max).filter(|max| *max < usize::MAX),
            open: self.open,
            connecting: self.connecting,
            total: self.total,
            failures: self.failures,
            state: self.state,
            since: now.saturating_duration_since(self.since),
            last_error: self.last_error.clone(),
        }
    }
}
