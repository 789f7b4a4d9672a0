//! The time since which a client keeps its connection or stream waiting.

use super::activity::{Activity, Stalled};
use crate::time::FAR;
use std::time::Duration;
use tokio::time::Instant;

/// The times for which a client may keep a connection or stream waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct StallLimits {
    pub(super) stream: Option<Duration>,
    pub(super) upgraded: Option<Duration>,
}

impl StallLimits {
    pub(super) const NONE: Self = StallLimits {
        stream: None,
        upgraded: None,
    };
}

/// The current wait for the client: its beginning, and the counter of moves at that time.
#[derive(Debug, Default)]
pub(super) struct Stall(Option<(Instant, u32)>);

impl Stall {
    /// Returns the time at which the wait for the client is too long; `None` if it is not waited
    /// for.
    pub(super) fn ends(&mut self, activity: &Activity, limits: &StallLimits) -> Option<Instant> {
        let limit = match activity.stalled() {
            Some(Stalled::Request) => limits.stream,
            Some(Stalled::Conversation) => limits.upgraded,
            None => None,
        };
        let Some(limit) = limit else {
            self.0 = None;
            return None;
        };
        let moves = activity.moves();
        let since = match self.0 {
            Some((since, seen)) if seen == moves => since,
            _ => Instant::now(),
        };
        self.0 = Some((since, moves));
        Some(since + limit.min(FAR))
    }
}
