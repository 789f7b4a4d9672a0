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
    #[inline]
    fn drop(&mut self) {
        if let Some(first) = self.first.take() {
            wake_all(first, std::mem::take(&mut self.others));
        }
    }
}

#[cold]
fn wake_all(first: Waker, others: Vec<Waker>) {
    for waker in std::iter::once(first).chain(others) {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}
