//! A rate limit for the events of failed connections, so that people can still read them.

use std::sync::{Mutex, PoisonError};
use tokio::time::{Duration, Instant};
use tracing::Level;

/// The number of failures per second that are emitted at the level for failures.
const PER_SECOND: u32 = 10;

#[derive(Debug)]
pub(super) struct Failures {
    level: Level,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    /// Failures in this window.
    count: u32,
    /// Failures since the last one emitted at the level, which were not.
    unseen: u64,
}

impl Failures {
    pub(super) fn new(level: Level) -> Self {
        Failures {
            level,
            window: Mutex::default(),
        }
    }

    /// Returns the level for the event of a failure that happens now, and the number of unseen
    /// failures before it. Returns `None` if there were too many within the second.
    pub(super) fn admit(&self) -> Option<(Level, u64)> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_over = |began: Instant| now.duration_since(began) >= Duration::from_secs(1);
        if window.began.is_none_or(is_over) {
            window.began = Some(now);
            window.count = 0;
        }
        if window.count == PER_SECOND {
            window.unseen += 1;
            return None;
        }
        window.count += 1;
        Some((self.level, std::mem::take(&mut window.unseen)))
    }
}
