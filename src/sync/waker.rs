//! A place for the waker of the one who waits.

use super::{Mutex, MutexGuard};
use std::{fmt, task::Waker};

/// Holds at most one waker, which stays until it is woken.
///
/// Where the same task registers again and again, and hardly ever is woken by this, that costs an uncontended
/// lock and a comparison.
#[derive(Default)]
pub(crate) struct WakerSlot(Mutex<Option<Waker>>);

impl WakerSlot {
    fn slot(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock()
    }

    /// Has `waker` woken. What it waits for is to be looked at after this, or it may be missed.
    pub(crate) fn register(&self, waker: &Waker) {
        if self
            .slot()
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            return;
        }
        // A waker is a user's code, and may be the last that holds a task, whose drop may run anything: it
        // is cloned and dropped outside of the lock.
        let waker = waker.clone();
        let old = self.slot().replace(waker);
        drop(old);
    }

    pub(crate) fn wake(&self) {
        let waker = self.slot().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for WakerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WakerSlot")
    }
}
