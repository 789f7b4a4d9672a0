//! The settings of a score.

use super::{Banned, Offence};
use crate::{Network, client::CAPACITY};
use reagent::event;
use std::{sync::Arc, time::Duration};

/// The longest ban: 365 days, as for [`Bans`](crate::access::Bans).
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The default of the points at which a client is banned.
const POINTS: f64 = 20.0;

type Classify = Arc<dyn Fn(&event::ConnectionEnded<'_>) -> Option<Offence> + Send + Sync>;
type OnBan = Arc<dyn Fn(&Banned) + Send + Sync>;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) max_points: f64,
    drain_time: Duration,
    first_ban: Duration,
    pub(super) longest_ban: Duration,
    pub(super) capacity: usize,
    pub(super) exempt: Vec<Network>,
    /// Weights that differ from the default.
    weights: Vec<(Offence, f64)>,
    pub(super) classify: Classify,
    pub(super) on_ban: Option<OnBan>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_points: POINTS,
            drain_time: Duration::from_secs(60),
            first_ban: Duration::from_secs(60),
            longest_ban: Duration::from_secs(3600),
            capacity: CAPACITY,
            exempt: Vec::new(),
            weights: Vec::new(),
            classify: Arc::new(Offence::of),
            on_ban: None,
        }
    }
}

impl Settings {
    pub(super) fn set_points(&mut self, max: f64, drain_time: Duration) {
        let max = if max.is_nan() { POINTS } else { max };
        // Everybody has a score of 0.
        self.max_points = max.max(f64::MIN_POSITIVE);
        self.drain_time = drain_time;
    }

    pub(super) fn set_ban_time(&mut self, first: Duration, longest: Duration) {
        self.longest_ban = longest.min(YEAR);
        self.first_ban = first.min(self.longest_ban);
    }

    pub(super) fn set_weight(&mut self, offence: Offence, points: f64) {
        self.weights.retain(|(known, _)| *known != offence);
        self.weights.push((offence, points.max(0.0)));
    }

    pub(super) fn weight(&self, offence: Offence) -> f64 {
        let set = self.weights.iter().find(|(known, _)| *known == offence);
        set.map_or(1.0, |(_, points)| *points)
    }

    pub(super) fn drained_per_second(&self) -> f64 {
        self.max_points / self.drain_time.as_secs_f64()
    }

    /// Returns the duration of a ban that follows `bans` others: each lasts twice as long as the
    /// one before.
    pub(super) fn ban_time(&self, bans: u32) -> Duration {
        let factor = 1_u32.checked_shl(bans).unwrap_or(u32::MAX);
        self.first_ban.saturating_mul(factor).min(self.longest_ban)
    }
}
