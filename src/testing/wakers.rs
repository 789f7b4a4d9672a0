//! The acceptors that wait at one queue.

use std::{collections::BTreeMap, mem, task::Waker};

/// At most one waker for each handle to the queue, since one task drives a handle. It goes with the
/// handle, so that no length of a test makes this grow.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Wakers {
    /// A number for a new handle.
    pub(super) fn handle(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Has `waker` woken for this handle. The one before is returned, to be dropped outside of the lock.
    pub(super) fn register(&mut self, handle: u64, waker: &Waker) -> Option<Waker> {
        match self.wakers.get_mut(&handle) {
            Some(known) if known.will_wake(waker) => None,
            Some(known) => Some(mem::replace(known, waker.clone())),
            None => self.wakers.insert(handle, waker.clone()),
        }
    }

    /// Forgets a handle.
    pub(super) fn remove(&mut self, handle: u64) -> Option<Waker> {
        self.wakers.remove(&handle)
    }

    /// All of them, to be woken outside of the lock.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        mem::take(&mut self.wakers).into_values()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.wakers.len()
    }
}
