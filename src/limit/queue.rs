//! The queue of waiters, in order of arrival.

use std::{mem, task::Waker};

/// The index of no place.
const NONE: usize = usize::MAX;

/// When a queue with more places than this becomes empty, its memory is freed.
const KEPT: usize = 32;

/// A linked list in one allocation. Each waiter knows its index, so leaving needs no search.
///
/// No method drops or calls a waker, which may run anything: wakers are returned, to be woken or
/// dropped outside the lock.
pub(super) struct Queue {
    places: Vec<Place>,
    /// The first free place. Free places are linked by `next`.
    free: usize,
    first: usize,
    last: usize,
    waiting: usize,
    /// The places of waiters, and those whose permit was granted but not yet picked up.
    used: usize,
}

struct Place {
    /// The waker of a waiter; `None` in a free place, and once the permit is granted.
    waker: Option<Waker>,
    previous: usize,
    next: usize,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Queue {
            places: Vec::new(),
            free: NONE,
            first: NONE,
            last: NONE,
            waiting: 0,
            used: 0,
        }
    }

    /// Returns the number of waiters.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Returns the number of places that memory is allocated for.
    #[cfg(all(test, not(loom)))]
    pub(super) fn places(&self) -> usize {
        self.places.capacity()
    }

    /// Adds a waiter at the end, and returns its place.
    pub(super) fn push(&mut self, waker: Waker) -> usize {
        let place = Place {
            waker: Some(waker),
            previous: self.last,
            next: NONE,
        };
        let index = match self.places.get_mut(self.free) {
            Some(free) => {
                let index = mem::replace(&mut self.free, free.next);
                *free = place;
                index
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        match self.places.get_mut(self.last) {
            Some(last) => last.next = index,
            None => self.first = index,
        }
        self.last = index;
        self.waiting += 1;
        self.used += 1;
        index
    }

    /// Grants a permit to the first waiter, and returns its waker. The waiter keeps its place until
    /// it [leaves](Self::leave).
    pub(super) fn grant_first(&mut self) -> Option<Waker> {
        let index = self.first;
        let waker = self.places.get_mut(index)?.waker.take();
        self.unlink(index);
        waker
    }

    /// Replaces the waker at a place, and returns the old one. If the permit was granted already,
    /// returns `waker` as an error.
    pub(super) fn replace(&mut self, index: usize, waker: Waker) -> Result<Waker, Waker> {
        match &mut self.places[index].waker {
            Some(old) => Ok(mem::replace(old, waker)),
            None => Err(waker),
        }
    }

    /// Frees a place. Returns the waker if it still waited, and `None` if a permit was granted.
    pub(super) fn leave(&mut self, index: usize) -> Option<Waker> {
        let waker = self.places[index].waker.take();
        if waker.is_some() {
            self.unlink(index);
        }
        self.places[index].next = self.free;
        self.free = index;
        self.used -= 1;
        if self.used == 0 && self.places.len() > KEPT {
            *self = Queue::new();
        }
        waker
    }

    fn unlink(&mut self, index: usize) {
        let Place { previous, next, .. } = self.places[index];
        match self.places.get_mut(previous) {
            Some(place) => place.next = next,
            None => self.first = next,
        }
        match self.places.get_mut(next) {
            Some(place) => place.previous = previous,
            None => self.last = previous,
        }
        self.waiting -= 1;
    }
}
