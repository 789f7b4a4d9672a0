//! Wakers to be called once no lock is held.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

/// The wakers of the tasks that were granted a permit, which are woken when it is dropped.
///
/// A waker is foreign code, which may take or drop a permit of any limit. A panic in one is
/// ignored, since the other tasks must be woken and permits given back all the same.
#[derive(Default)]
pub(super) struct Wakes {
    /// Mostly there is only one, which needs no allocation.
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakes {
    pub(super) fn push(&mut self, waker: Waker) {
        match &self.first {
            None => self.first = Some(waker),
            Some(_) => self.others.push(waker),
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        for waker in self.first.take().into_iter().chain(self.others.drain(..)) {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}
