//! Ends of connections that somebody should see, and not more of them than somebody can read.

use std::sync::{Mutex, PoisonError};
use tokio::time::{Duration, Instant};
use tracing::Level;

/// How many failures a second are emitted at the level for failures.
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
    /// Failures that were not emitted at the level since the last that was.
    unseen: u64,
}

impl Failures {
    pub(super) fn new(level: Level) -> Self {
        Failures {
            level,
            window: Mutex::default(),
        }
    }

    /// The level of the event of a failure that happens now, and the number of failures unseen before it;
    /// `None` if there were too many within the second.
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
