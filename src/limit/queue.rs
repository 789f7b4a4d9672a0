//! Those who wait, in the order in which they came.

use std::{mem, task::Waker};

/// No place.
const NONE: usize = usize::MAX;

/// An empty queue gives back the memory of more places than this.
const KEPT: usize = 32;

/// A list in one allocation. Whoever waits knows their place in it, so that leaving takes no search.
///
/// No method drops or calls a waker, which may run anything: they are handed out, to be woken or
/// dropped outside of the lock.
pub(super) struct Queue {
    places: Vec<Place>,
    /// The first of the free places, which are linked by `next`.
    free: usize,
    first: usize,
    last: usize,
    waiting: usize,
    /// Places of those who wait, and of those whose permit was not fetched yet.
    used: usize,
}

struct Place {
    /// Whom to wake; `None` once the permit is granted, and in a free place.
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

    /// The number of those who wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// The places that there is memory for.
    #[cfg(all(test, not(loom)))]
    pub(super) fn places(&self) -> usize {
        self.places.capacity()
    }

    /// Adds one to the end, and returns the place.
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

    /// Grants the first in the queue a permit, and returns whom to wake. The place remains theirs until
    /// they [leave](Self::leave).
    pub(super) fn grant_first(&mut self) -> Option<Waker> {
        let index = self.first;
        let waker = self.places.get_mut(index)?.waker.take();
        self.unlink(index);
        waker
    }

    /// Has `waker` woken in the place of the one before, which is returned. Returns `waker` itself where
    /// the permit was granted already.
    pub(super) fn replace(&mut self, index: usize, waker: Waker) -> Result<Waker, Waker> {
        match &mut self.places[index].waker {
            Some(old) => Ok(mem::replace(old, waker)),
            None => Err(waker),
        }
    }

    /// Frees a place. Returns the waker of one who still waited; `None` means that a permit was granted.
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
