//! The clock by which connections note when they were last active.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A clock that is read by a single load, since every read and write of every connection reads it.
/// It shows whole seconds, and something has to advance it.
#[derive(Debug, Default)]
pub(crate) struct ActivityClock {
    /// The time of the start; unset while nobody needs the clock.
    started: OnceLock<Instant>,
    /// The seconds since the start, as of the last tick. They are enough for 136 years.
    now: AtomicU32,
}

impl ActivityClock {
    /// Starts the clock. Returns `false` if it runs already.
    pub(crate) fn start(&self) -> bool {
        self.started.set(Instant::now()).is_ok()
    }

    /// Sets the clock to the current time.
    pub(crate) fn tick(&self) {
        if let Some(started) = self.started.get() {
            self.now.store(started.elapsed().as_secs() as u32, Relaxed);
        }
    }

    pub(super) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// Returns the time at which the clock showed `seconds`; `None` if it was not started.
    pub(super) fn time(&self, seconds: u32) -> Option<Instant> {
        let started = self.started.get()?;
        started.checked_add(Duration::from_secs(seconds.into()))
    }
}
