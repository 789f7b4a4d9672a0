//! A slot for the waker of a waiting task.

use super::{Mutex, MutexGuard};
use std::{fmt, task::Waker};

/// Holds at most one waker, until it is woken.
///
/// A task that registers again and again, and is hardly ever woken by this slot, pays for an
/// uncontended lock and a comparison.
#[derive(Default)]
pub(crate) struct WakerSlot(Mutex<Option<Waker>>);

impl WakerSlot {
    fn slot(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock()
    }

    /// Sets the waker. The condition must be checked after this call, or a change may be missed.
    pub(crate) fn register(&self, waker: &Waker) {
        if self
            .slot()
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            return;
        }
        // A waker is user code, and may be the last reference to a task, whose drop may run
        // anything. So it is cloned and dropped outside the lock.
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
