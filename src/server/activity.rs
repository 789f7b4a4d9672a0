//! Noting when connections were last active, and how fast they are.

use super::ServerHandle;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval_at};

/// The resolution of [`ConnectionHandle::last_active_at`](crate::ConnectionHandle::last_active_at).
const TICK: Duration = Duration::from_secs(1);

impl ServerHandle {
    /// Starts to note when connections were last active and how many bytes they move each second,
    /// for [`ConnectionHandle::last_active_at`](crate::ConnectionHandle::last_active_at) and
    /// [`ConnectionHandle::rate`](crate::ConnectionHandle::rate). Later calls have no effect.
    ///
    /// It costs the server a timer each second, and each connection a few instructions in every
    /// second in which it is active. No read or write asks for the time.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime. Activity is noted for as long as that runtime runs.
    pub fn track_activity(&self) {
        let Some(started) = self.pool.registry.activity_clock.start() else {
            return;
        };
        let pool = self.pool.clone();
        let ticks = async move {
            let mut ticks = interval_at(started + TICK, TICK);
            // Ticks stay at the beginnings of seconds.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    _ = ticks.tick() => pool.registry.activity_clock.tick(),
                    _ = pool.stopped() => return,
                }
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the task ends with the server, which its handles report"
        )]
        drop(tokio::spawn(ticks));
    }
}
