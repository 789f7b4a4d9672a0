//! The state that the clones of a limit share.

use super::{
    Limit,
    counts::Counts,
    permits::{Permits, Share},
    wakes::Wakes,
};
use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use std::{ptr, task::Waker};

/// ## Counting without a lock
///
/// While `max` is `usize::MAX`, a thread counts a permit in `counts` and then reads `max` again.
/// `set_max` does the reverse: it stores `max` and then folds `counts` into `taken`. Both modify
/// the same number, so one of them comes second there and sees what the first one did: either the
/// fold includes the permit, or the thread sees the new maximum and checks under the lock whether
/// there was room for it. A release is counted in the same way, and folded by the thread that
/// released.
///
/// So while there is a maximum, `taken` may be too high for a moment, by what is about to be taken
/// back or folded, but never too low. No permit is granted wrongly, and the thread that corrects
/// the count grants what has become free.
///
/// ## Trees
///
/// A permit of a limit that has a parent is also one of the parent. `take` takes both or neither,
/// and holds the lock of the child meanwhile: locks are taken from the leaves to the root. A task
/// that waits takes one after the other, from the leaf to the root, and keeps what it has. Other
/// tasks that want the same permit of the child would have to wait for the same parent, so nobody
/// waits who could be admitted.
pub(super) struct Shared {
    parent: Option<Parent>,
    /// The number of permits that may be taken. Modified only under the lock of `state`.
    max: AtomicUsize,
    counts: Counts,
    state: Mutex<Permits>,
}

struct Parent {
    limit: Limit,
    /// Which permits of the parent this limit uses.
    share: Share,
}

/// The result of joining the queue.
pub(super) enum Queued {
    Admitted,
    Waiting(usize),
}

impl Shared {
    pub(super) fn new(max: usize) -> Self {
        Shared {
            parent: None,
            max: AtomicUsize::new(max),
            counts: Counts::new(),
            state: Mutex::new(Permits::new()),
        }
    }

    pub(super) fn child(max: usize, limit: Limit, share: Share) -> Self {
        Shared {
            parent: Some(Parent { limit, share }),
            ..Shared::new(max)
        }
    }

    /// Returns the parent, and which of its permits this limit uses.
    pub(super) fn parent(&self) -> Option<(&Limit, Share)> {
        let parent = self.parent.as_ref()?;
        Some((&parent.limit, parent.share))
    }

    fn state(&self) -> MutexGuard<'_, Permits> {
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
        self.state().waiting()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn places(&self) -> usize {
        self.state().queue(Share::General).places()
    }

    pub(super) fn set_max(&self, max: usize) {
        let store = |_: &mut Permits| self.max.store(max, Relaxed);
        self.change(store, &mut Wakes::default());
    }

    /// Keeps permits for the children that may use them, until `unreserve`.
    pub(super) fn reserve(&self, count: usize) {
        let reserve = |state: &mut Permits| state.reserved = state.reserved.saturating_add(count);
        self.change(reserve, &mut Wakes::default());
    }

    pub(super) fn unreserve(&self, count: usize) {
        let unreserve = |state: &mut Permits| {
            state.reserved = state.reserved.saturating_sub(count);
            state.backed = state.backed.min(state.reserved);
        };
        self.change(unreserve, &mut Wakes::default());
    }

    fn change(&self, change: impl FnOnce(&mut Permits), wakes: &mut Wakes) {
        let mut state = self.state();
        change(&mut state);
        self.fold(&mut state);
        self.grant(&mut state, wakes);
    }

    /// Takes a permit here and of all limits above, or none at all.
    pub(super) fn take(&self, share: Share, wakes: &mut Wakes) -> bool {
        let Some(parent) = &self.parent else {
            return self.take_here(share, wakes);
        };
        if self.max() == usize::MAX {
            if !self.take_here(share, wakes) {
                return false;
            }
            let is_taken = parent.limit.0.take(parent.share, wakes);
            if !is_taken {
                self.release_here(share, wakes);
            }
            return is_taken;
        }
        // Under the lock, so that nobody else is refused because of a permit that is given back.
        let mut state = self.state();
        let is_taken = self.is_free(&mut state, share) && parent.limit.0.take(parent.share, wakes);
        if is_taken {
            state.add(share);
        }
        is_taken
    }

    /// Takes a permit here only.
    pub(super) fn take_here(&self, share: Share, wakes: &mut Wakes) -> bool {
        if share == Share::General && self.max() == usize::MAX {
            return self.count(1) || self.keep_counted(wakes);
        }
        let mut state = self.state();
        let is_free = self.is_free(&mut state, share);
        if is_free {
            state.add(share);
        }
        is_free
    }

    /// Gives a permit back here and to the limits above, up to `last`.
    pub(super) fn release(&self, share: Share, last: Option<&Limit>, wakes: &mut Wakes) {
        let is_last = last.is_some_and(|last| ptr::eq(self, &*last.0));
        if let (Some(parent), false) = (&self.parent, is_last) {
            parent.limit.0.release(parent.share, last, wakes);
        }
        self.release_here(share, wakes);
    }

    /// Gives a permit back here only.
    pub(super) fn release_here(&self, share: Share, wakes: &mut Wakes) {
        if share == Share::General && self.max() == usize::MAX {
            if !self.count(-1) {
                self.change(|_| (), wakes);
            }
            return;
        }
        let mut state = self.state();
        state.subtract(share);
        self.grant(&mut state, wakes);
    }

    /// Takes a permit if this limit is the root of its tree and has no maximum, which takes no
    /// lock.
    #[inline]
    pub(super) fn take_freely(&self) -> Option<bool> {
        let is_free = self.parent.is_none() && self.max() == usize::MAX;
        is_free.then(|| self.count(1) || self.keep_counted(&mut Wakes::default()))
    }

    /// Gives a permit back if this limit is the root of its tree and has no maximum.
    #[inline]
    pub(super) fn release_freely(&self) -> bool {
        let is_free = self.parent.is_none() && self.max() == usize::MAX;
        if is_free && !self.count(-1) {
            self.change(|_| (), &mut Wakes::default());
        }
        is_free
    }

    /// Adds to `counts`, and returns whether there was no maximum meanwhile.
    #[inline]
    fn count(&self, n: isize) -> bool {
        if !self.counts.try_add(n) {
            self.split_and_add(n);
        }
        self.max() == usize::MAX
    }

    /// Returns whether there was room for a permit in `counts`, and takes it back otherwise.
    #[cold]
    fn keep_counted(&self, wakes: &mut Wakes) -> bool {
        let mut state = self.state();
        self.fold(&mut state);
        state.taken -= 1;
        // It was taken before anybody had to wait.
        let has_room = state.has_room(self.max(), Share::General);
        state.taken += isize::from(has_room);
        self.grant(&mut state, wakes);
        has_room
    }

    /// Joins the queue, unless there is room by now. Takes a permit here only.
    pub(super) fn enqueue(&self, share: Share, waker: Waker) -> Queued {
        let mut state = self.state();
        if self.is_free(&mut state, share) {
            state.add(share);
            drop(state);
            return Queued::Admitted;
        }
        Queued::Waiting(state.queue(share).push(waker))
    }

    /// Returns whether the waiter at this place was granted a permit, and frees the place if so.
    /// Otherwise `waker` replaces its waker.
    pub(super) fn is_granted(&self, share: Share, place: usize, waker: Waker) -> bool {
        let mut state = self.state();
        let replaced = state.queue(share).replace(place, waker);
        if replaced.is_err() {
            state.queue(share).leave(place);
        }
        drop(state);
        replaced.is_err()
    }

    /// Leaves the queue, and gives back the permit if it was granted.
    pub(super) fn leave(&self, share: Share, place: usize, wakes: &mut Wakes) {
        let mut state = self.state();
        let waker = state.queue(share).leave(place);
        if waker.is_none() {
            state.subtract(share);
        }
        self.grant(&mut state, wakes);
        drop(state);
        drop(waker);
    }

    #[cold]
    fn split_and_add(&self, n: isize) {
        let state = self.state();
        self.counts.split();
        drop(state);
        self.counts.try_add(n);
    }

    /// Moves into `taken` what was counted before `max` was stored.
    fn fold(&self, state: &mut Permits) {
        state.taken += self.counts.fold();
    }

    /// Returns whether a permit may be taken now, without overtaking anybody.
    fn is_free(&self, state: &mut Permits, share: Share) -> bool {
        state.has_room(self.max(), share) && state.queue(share).is_empty()
    }

    /// Admits waiters while there is room.
    #[inline]
    fn grant(&self, state: &mut Permits, wakes: &mut Wakes) {
        if !state.is_settled() {
            self.settle(state, wakes);
        }
    }

    fn settle(&self, state: &mut Permits, wakes: &mut Wakes) {
        state.back(self.max());
        for share in [Share::Reserved, Share::General] {
            while state.has_room(self.max(), share) {
                let Some(waker) = state.queue(share).grant_first() else {
                    break;
                };
                state.add(share);
                wakes.push(waker);
            }
        }
    }
}
