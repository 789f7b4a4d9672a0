//! Since when a client keeps its connection or stream waiting.

use super::activity::{Activity, Stalled};
use crate::time::FAR;
use std::time::Duration;
use tokio::time::Instant;

/// How long a client may keep others waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct StallLimits {
    pub(super) stream: Option<Duration>,
    pub(super) upgraded: Option<Duration>,
}

/// The present wait for a client: since when, and how much had moved by then.
#[derive(Debug, Default)]
pub(super) struct Stall(Option<(Instant, u32)>);

impl Stall {
    /// When the client has been waited for long enough; `None` if it is not waited for.
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
