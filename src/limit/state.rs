//! The state that the clones of a limit share.

use super::{counts::Counts, queue::Queue};
use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use std::task::Waker;

/// ## Counting without a lock
///
/// While `max` is `usize::MAX`, a thread counts a permit in `counts` and then reads `max` again.
/// `set_max` does the reverse: it stores `max` and then folds `counts` into `taken`. Both modify
/// the same number, so one of them comes second there and sees what the first one did: either the
/// fold includes the permit, or the thread sees the new maximum and takes the permit back under the
/// lock. A release is counted in the same way, and folded by the thread that released.
///
/// So while there is a maximum, `taken` may be too high for a moment, by what is about to be taken
/// back or folded, but never too low. No permit is granted wrongly, and the thread that corrects
/// the count grants what has become free.
pub(super) struct Shared {
    /// The number of permits that may be taken. Modified only under the lock of `state`.
    max: AtomicUsize,
    counts: Counts,
    state: Mutex<State>,
}

struct State {
    /// The permits that are not in `counts`: all of them while there is a maximum. Negative if
    /// permits were counted in `counts` when they were taken, and here when they were returned.
    taken: isize,
    /// The maximum as it was set, which includes the reserved permits.
    max: usize,
    reserved: usize,
    queue: Queue,
}

impl State {
    /// Returns the number of permits that are not reserved.
    fn unreserved(&self) -> usize {
        match self.max {
            usize::MAX => usize::MAX,
            max => max.saturating_sub(self.reserved),
        }
    }

    fn has_room(&self, max: usize) -> bool {
        usize::try_from(self.taken).unwrap_or(0) < max
    }
}

/// The result of joining the queue.
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
                max,
                reserved: 0,
                queue: Queue::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Returns the number of permits that may be taken.
    pub(super) fn max(&self) -> usize {
        self.max.load(Relaxed)
    }

    /// Returns the maximum as it was set.
    pub(super) fn max_set(&self) -> usize {
        self.state().max
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
        self.change(|state| state.max = max);
    }

    /// Takes permits out of the limit until they are given back by `unreserve`.
    pub(super) fn reserve(&self, count: usize) {
        self.change(|state| state.reserved = state.reserved.saturating_add(count));
    }

    pub(super) fn unreserve(&self, count: usize) {
        self.change(|state| state.reserved = state.reserved.saturating_sub(count));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        self.max.store(state.unreserved(), Relaxed);
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

    /// Returns whether the waiter at this place was granted a permit, and frees the place if so.
    /// Otherwise `waker` replaces its waker.
    pub(super) fn is_granted(&self, place: usize, waker: Waker) -> bool {
        let mut state = self.state();
        let replaced = state.queue.replace(place, waker);
        if replaced.is_err() {
            state.queue.leave(place);
        }
        drop(state);
        replaced.is_err()
    }

    /// Leaves the queue, and gives back the permit if it was granted.
    pub(super) fn leave(&self, place: usize) {
        let mut state = self.state();
        let waker = state.queue.leave(place);
        if waker.is_none() {
            state.taken -= 1;
        }
        self.grant(state);
        drop(waker);
    }

    /// Adds to `counts`. The caller must read `max` afterwards.
    fn add(&self, n: isize) {
        if !self.counts.try_add(n) {
            let state = self.state();
            self.counts.split();
            drop(state);
            self.counts.try_add(n);
        }
    }

    /// Moves into `taken` what was counted before `max` was stored.
    fn fold(&self, state: &mut State) {
        state.taken += self.counts.fold();
    }

    fn take(&self, state: &mut State) -> bool {
        let has_room = state.has_room(self.max()) && state.queue.is_empty();
        state.taken += isize::from(has_room);
        has_room
    }

    /// Admits waiters while there is room.
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
