//! The wakers of the acceptors that wait at one queue.

use std::{collections::BTreeMap, mem, task::Waker};

/// At most one waker for each handle to the queue, since one task drives a handle. It is removed
/// with the handle, so this does not grow during a long test.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Wakers {
    /// Returns a number for a new handle.
    pub(super) fn handle(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Sets the waker of this handle. Returns the previous one, to be dropped outside the lock.
    pub(super) fn register(&mut self, handle: u64, waker: &Waker) -> Option<Waker> {
        match self.wakers.get_mut(&handle) {
            Some(known) if known.will_wake(waker) => None,
            Some(known) => Some(mem::replace(known, waker.clone())),
            None => self.wakers.insert(handle, waker.clone()),
        }
    }

    /// Removes a handle and its waker.
    pub(super) fn remove(&mut self, handle: u64) -> Option<Waker> {
        self.wakers.remove(&handle)
    }

    /// Takes all wakers, to be woken outside the lock.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        mem::take(&mut self.wakers).into_values()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.wakers.len()
    }
}
