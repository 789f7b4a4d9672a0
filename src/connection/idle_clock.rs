//! The clock by which connections note when they were last active.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A clock that is read by a single load, because every read and write of every connection reads
/// it. Somebody has to advance it.
#[derive(Debug, Default)]
pub(crate) struct IdleClock {
    /// The time of the start; unset while nobody wants to know idle times.
    started: OnceLock<Instant>,
    /// The seconds since the start, as of the last tick.
    now: AtomicU32,
}

impl IdleClock {
    /// Starts the clock. Returns `false` if it runs already.
    pub(crate) fn start(&self) -> bool {
        self.started.set(Instant::now()).is_ok()
    }

    /// Sets the clock to the current time.
    pub(crate) fn tick(&self) {
        if let Some(started) = self.started.get() {
            // It is enough for 136 years.
            self.now.store(started.elapsed().as_secs() as u32, Relaxed);
        }
    }

    pub(super) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// Returns the time since the clock showed `then`; `None` if it was not started.
    pub(super) fn since(&self, then: u32) -> Option<Duration> {
        let elapsed = self.started.get()?.elapsed();
        Some(elapsed.saturating_sub(Duration::from_secs(then.into())))
    }
}
