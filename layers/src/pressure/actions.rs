//! The actions and their thresholds.

use std::{ops::Range, time::Duration};

/// The actions of a [`Pressure`](super::Pressure), and their thresholds.
///
/// Readiness, and the pause and the refusals of a [layer](super::PressureLayer), end when the
/// pressure has fallen below their threshold by the [hysteresis](super::Builder::hysteresis). The
/// other actions are proportional to the pressure.
#[derive(Clone, Debug)]
#[must_use]
pub struct Actions {
    pub(super) idle_limit: Option<IdleLimit>,
    pub(super) close_idlest: Option<f64>,
    pub(super) unready: Option<f64>,
    pub(super) descriptors: Option<KeptDescriptors>,
    pub(super) silent: Duration,
    pub(super) patience: Duration,
}

/// An idle limit that shrinks from `max` to `min` while the pressure rises through a range.
#[derive(Clone, Debug)]
pub(super) struct IdleLimit {
    range: Range<f64>,
    max: Duration,
    min: Duration,
}

/// The descriptors to keep free, and those that each connection needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptDescriptors {
    pub(super) free: u64,
    pub(super) each: u64,
}

/// The least idle time of a connection that is closed. Activity is known to the second, and a
/// client that was answered less than a second ago often sends its next request.
pub(super) const LEAST_IDLE: Duration = Duration::from_secs(2);

impl IdleLimit {
    /// Returns the limit at a pressure; `None` below the range.
    pub(super) fn at(&self, value: f64) -> Option<Duration> {
        let Range { start, end } = self.range;
        if value < start {
            return None;
        }
        let part = match end > start {
            true => ((value - start) / (end - start)).min(1.0),
            false => 1.0,
        };
        Some(self.min + self.max.saturating_sub(self.min).mul_f64(1.0 - part))
    }
}

impl Default for Actions {
    /// Lowers the idle limit from 75 s to 2 s between 0.75 and 0.95, closes the idlest connections
    /// from 0.85 on, reports that the server is not ready from 0.95 on, and keeps 16 descriptors
    /// free.
    fn default() -> Self {
        Actions::none()
            .idle_limit(0.75..0.95, Duration::from_secs(75), LEAST_IDLE)
            .close_idlest(0.85)
            .unready(0.95)
            .keep_descriptors(16, 1)
    }
}

impl Actions {
    /// Creates a set without any action.
    pub fn none() -> Self {
        Actions {
            idle_limit: None,
            close_idlest: None,
            unready: None,
            descriptors: None,
            silent: Duration::from_secs(60),
            patience: Duration::from_secs(5),
        }
    }

    /// Limits the idle time of connections to `max` when the pressure enters the `range`, and
    /// shortens the limit linearly to `min` at its end, as the overload manager of Envoy does. The
    /// default is 75 s, the limit of nginx and of the `http` layer, to 2 s between 0.75 and 0.95.
    ///
    /// Times below 2 s count as 2 s.
    pub fn idle_limit(mut self, range: Range<f64>, max: Duration, min: Duration) -> Self {
        let (max, min) = (max.max(LEAST_IDLE), min.max(LEAST_IDLE));
        self.idle_limit = Some(IdleLimit { range, max, min });
        self
    }

    /// Closes the connections that have been idle for longest, from this pressure on. The default
    /// is 0.85.
    ///
    /// It closes as many as hold the part of the resource that is used above the threshold, but no
    /// more than 16 or a sixteenth of the open connections for each sample.
    pub fn close_idlest(mut self, threshold: impl Into<Option<f64>>) -> Self {
        self.close_idlest = threshold.into();
        self
    }

    /// Holds the [readiness](reagent::Readiness) of the server back from this pressure on, so that
    /// load balancers send their clients elsewhere. The default is 0.95.
    pub fn unready(mut self, threshold: impl Into<Option<f64>>) -> Self {
        self.unready = threshold.into();
        self
    }

    /// Keeps `free` descriptors free, where each connection needs `each` of them: without the
    /// descriptors to serve them, clients wait in the kernel's queue instead of being turned away.
    /// The default is 16, with one for each connection. A proxy needs two for each.
    ///
    /// It lowers [`max_connections`](reagent::Server::max_connections) to the number for which
    /// there are descriptors, while fewer than 10,000 are free. What the server is set to applies
    /// again afterwards, and when it is changed meanwhile.
    pub fn keep_descriptors(mut self, free: u32, each: u32) -> Self {
        self.descriptors = Some(KeptDescriptors {
            free: free.into(),
            each: each.max(1).into(),
        });
        self
    }

    /// Sets for how long a connection must be silent to count as idle if neither a layer nor its
    /// handler [knows](reagent::ConnectionHandle::set_busy) whether it is in use. The default is
    /// 60 s.
    ///
    /// The handler may be at work meanwhile, so it should be longer than any request takes. It
    /// applies to sessions, relays and plain handlers.
    pub fn silent_for(mut self, time: Duration) -> Self {
        self.silent = time.max(LEAST_IDLE);
        self
    }

    /// Sets how long an idle connection may take to close after it was asked to. The default is
    /// 5 s.
    ///
    /// One that is still idle then is aborted. One that is in use again is left alone, since it was
    /// asked to finish.
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Envoy's documentation of scaled timeouts.
    #[test]
    fn the_idle_limit_shrinks_linearly() {
        let limit = IdleLimit {
            range: 0.85..0.95,
            max: Duration::from_secs(600),
            min: Duration::from_secs(2),
        };
        let at = |value| limit.at(value).map(|limit| limit.as_secs_f64().round());
        assert_eq!(at(0.84), None);
        assert_eq!(at(0.85), Some(600.0));
        assert_eq!(at(0.92), Some(181.0));
        assert_eq!(at(0.95), Some(2.0));
        assert_eq!(at(1.0), Some(2.0));
    }
}
