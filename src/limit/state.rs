//! What the clones of a limit share, and how it counts.

use super::{counts::Counts, queue::Queue};
use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use std::task::Waker;

/// ## Counting without a lock
///
/// While `max` is `usize::MAX`, a permit is counted in `counts`, and then `max` is read again.
/// `set_max` goes the other way: it stores `max`, and then folds `counts` into `taken`. Both change the
/// same number, so that one of them is second there and sees what the first did before: the fold takes
/// the permit along, or whoever counted it sees the new maximum and takes it back, under the lock. A
/// release is counted in the same way, and folded by whoever released.
///
/// While there is a maximum, `taken` may thus be too high for a moment, by what is about to be taken
/// back or folded, and never too low: nobody is admitted wrongly, and whoever corrects it grants what
/// has become free.
pub(super) struct Shared {
    /// Changes under the lock of `state` only.
    max: AtomicUsize,
    counts: Counts,
    state: Mutex<State>,
}

struct State {
    /// What is not in `counts`: all that is taken while there is a maximum. Negative where permits were
    /// counted here when they were given back, and in `counts` when they were taken.
    taken: isize,
    queue: Queue,
}

impl State {
    fn has_room(&self, max: usize) -> bool {
        usize::try_from(self.taken).unwrap_or(0) < max
    }
}

/// What became of one who came to wait.
pub(super) enum Queued {
    Admitted,
    Waiting(usize),
}

impl Shared {
    pub(super) fn new(max: usize) -> Self {
        Shared {
            max: AtomicUsize::new(max),
            counts: Counts::new(),
            state: Mutex::new(State {
                taken: 0,
                queue: Queue::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn max(&self) -> usize {
        self.max.load(Relaxed)
    }

    pub(super) fn taken(&self) -> usize {
        let state = self.state();
        let taken = state.taken + self.counts.sum();
        usize::try_from(taken).unwrap_or(0)
    }

    pub(super) fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn places(&self) -> usize {
        self.state().queue.places()
    }

    pub(super) fn set_max(&self, max: usize) {
        let mut state = self.state();
        self.max.store(max, Relaxed);
        self.fold(&mut state);
        self.grant(state);
    }

    pub(super) fn try_take(&self) -> bool {
        if self.max() == usize::MAX {
            self.add(1);
            if self.max() == usize::MAX {
                return true;
            }
            let mut state = self.state();
            self.fold(&mut state);
            state.taken -= 1;
            self.grant(state);
        }
        self.take(&mut self.state())
    }

    pub(super) fn release(&self) {
        if self.max() == usize::MAX {
            self.add(-1);
            if self.max() == usize::MAX {
                return;
            }
            let mut state = self.state();
            self.fold(&mut state);
            self.grant(state);
            return;
        }
        let mut state = self.state();
        state.taken -= 1;
        self.grant(state);
    }

    /// Joins the queue, unless there is room by now.
    pub(super) fn enqueue(&self, waker: Waker) -> Queued {
        let mut state = self.state();
        if self.take(&mut state) {
            drop(state);
            return Queued::Admitted;
        }
        Queued::Waiting(state.queue.push(waker))
    }

    /// Whether the one at this place was granted a permit; the place is free then. Otherwise `waker` is
    /// who will be woken.
    pub(super) fn is_granted(&self, place: usize, waker: Waker) -> bool {
        let mut state = self.state();
        let replaced = state.queue.replace(place, waker);
        if replaced.is_err() {
            state.queue.leave(place);
        }
        drop(state);
        replaced.is_err()
    }

    /// Leaves the queue, and with it a permit that was granted.
    pub(super) fn leave(&self, place: usize) {
        let mut state = self.state();
        let waker = state.queue.leave(place);
        if waker.is_none() {
            state.taken -= 1;
        }
        self.grant(state);
        drop(waker);
    }

    /// Adds to `counts`. What comes next is a look at `max`.
    fn add(&self, n: isize) {
        if !self.counts.try_add(n) {
            let state = self.state();
            self.counts.split();
            drop(state);
            self.counts.try_add(n);
        }
    }

    /// Moves into `taken` what was counted until `max` was stored.
    fn fold(&self, state: &mut State) {
        state.taken += self.counts.fold();
    }

    fn take(&self, state: &mut State) -> bool {
        let has_room = state.has_room(self.max()) && state.queue.is_empty();
        state.taken += isize::from(has_room);
        has_room
    }

    /// Admits those for whom there is room.
    fn grant<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        while state.has_room(self.max()) {
            let Some(waker) = state.queue.grant_first() else {
                return;
            };
            state.taken += 1;
            // A waker may run anything, such as the drop of a permit.
            drop(state);
            waker.wake();
            state = self.state();
        }
    }
}
