//! What is remembered about one client.

use super::settings::Settings;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    points: f64,
    /// The time at which `points` was true.
    at: Instant,
    /// The number of bans that are remembered, and the end of the last one.
    bans: u32,
    banned_until: Instant,
    /// Whether the last ban was not carried out.
    was_dry: bool,
}

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Tally {
            points: 0.0,
            at: now,
            bans: 0,
            banned_until: now,
            was_dry: false,
        }
    }

    /// Returns the points that are left.
    pub(super) fn points(&self, settings: &Settings, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.points - passed * settings.drained_per_second()).max(0.0)
    }

    pub(super) fn is_banned(&self, now: Instant) -> bool {
        now < self.banned_until
    }

    /// Adds points. If they are too many, returns the duration of the ban that begins now.
    pub(super) fn add(
        &mut self,
        points: f64,
        settings: &Settings,
        now: Instant,
        is_dry: bool,
    ) -> Option<Duration> {
        self.points = self.points(settings, now) + points;
        self.at = now;
        if self.points < settings.max_points {
            return None;
        }
        // Nobody was warned by a ban that was only tried.
        if self.has_reformed(settings, now) || (self.was_dry && !is_dry) {
            self.bans = 0;
        }
        self.was_dry = is_dry;
        let lasts = settings.ban_time(self.bans);
        self.points = 0.0;
        self.bans = self.bans.saturating_add(1);
        self.banned_until = now + lasts;
        Some(lasts)
    }

    /// Returns whether earlier bans are forgotten.
    fn has_reformed(&self, settings: &Settings, now: Instant) -> bool {
        self.bans == 0 || now >= self.banned_until + settings.longest_ban
    }

    /// Returns whether nothing is left to remember.
    pub(super) fn is_over(&self, settings: &Settings, now: Instant) -> bool {
        self.points(settings, now) == 0.0 && self.has_reformed(settings, now)
    }
}
