//! The clock by which connections note when they were last active, and how fast they are.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What the clock shows when it starts. Connections that were never active show 0, which must be
/// neither the current second nor the one before.
const START: u32 = 2;

/// A clock that is read by a single load, since every read and write of every connection reads it.
/// It shows whole seconds, and something has to advance it.
#[derive(Debug, Default)]
pub(crate) struct ActivityClock {
    /// The time of the start; unset while nobody needs the clock.
    started: OnceLock<Instant>,
    /// The seconds since the start, as of the last tick, plus [`START`]; 0 before the start. They are
    /// enough for 136 years.
    now: AtomicU32,
}

impl ActivityClock {
    /// Starts the clock, and returns the time at which its first second begins. Returns `None` if it
    /// runs already.
    pub(crate) fn start(&self) -> Option<Instant> {
        let now = Instant::now();
        self.started.set(now).ok()?;
        self.tick();
        Some(now)
    }

    /// Sets the clock to the current time.
    pub(crate) fn tick(&self) {
        if let Some(started) = self.started.get() {
            let seconds = started.elapsed().as_secs() as u32;
            self.now.store(START + seconds, Relaxed);
        }
    }

    pub(super) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    /// Returns the time at which the clock began to show `second`; `None` if it was not started.
    pub(super) fn time(&self, second: u32) -> Option<Instant> {
        let started = self.started.get()?;
        let seconds = second.saturating_sub(START);
        started.checked_add(Duration::from_secs(seconds.into()))
    }
}
