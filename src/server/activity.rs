//! Noting when connections were last active.

use super::ServerHandle;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The resolution of [`ConnectionHandle::last_active_at`](crate::ConnectionHandle::last_active_at).
const TICK: Duration = Duration::from_secs(1);

impl ServerHandle {
    /// Starts to note when connections were last active, for
    /// [`ConnectionHandle::last_active_at`](crate::ConnectionHandle::last_active_at). Later calls
    /// have no effect.
    ///
    /// It costs the server a timer each second.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime. Activity is noted for as long as that runtime runs.
    pub fn track_activity(&self) {
        if !self.pool.registry.activity_clock.start() {
            return;
        }
        let pool = self.pool.clone();
        let ticks = async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
