//! The limits that apply to the connections of one listener.

use super::{Acquire, Limit, Permit};
use crate::sync::Mutex;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

/// The limits in which each connection of a listener takes a place.
pub(crate) struct Places {
    /// Limits and counts the connections of this listener.
    own: Limit,
    /// Limits the connections of the server, or of a group of listeners.
    shared: Limit,
    /// Places of the shared limit that only this listener uses.
    reserve: Option<Reserved>,
    /// Keeps the reserve for this listener. Handles to connections keep the places, so it is
    /// dropped before them.
    held: Mutex<Option<Arc<Held>>>,
}

/// A part of a limit that is reserved for one or more listeners.
#[derive(Clone)]
pub(crate) struct Reserve {
    places: Reserved,
    held: Arc<Held>,
}

#[derive(Clone)]
struct Reserved {
    limit: Limit,
    /// The number of connections of these listeners that have a general place instead,
    /// since all reserved places were taken. It does not matter which connections these are.
    beyond: Arc<AtomicUsize>,
}

struct Held {
    limit: Limit,
    count: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.limit.0.unreserve(self.count);
    }
}

impl Reserve {
    /// Reserves `count` places of a limit.
    pub(crate) fn new(limit: &Limit, count: usize) -> Self {
        limit.0.reserve(count);
        Reserve {
            places: Reserved {
                limit: limit.reserved_child(count),
                beyond: Arc::default(),
            },
            held: Arc::new(Held {
                limit: limit.clone(),
                count,
            }),
        }
    }
}

impl Places {
    pub(crate) fn new(own: Limit, shared: Limit, reserve: Option<Reserve>) -> Self {
        let (reserve, held) = reserve
            .map(|reserve| (reserve.places, reserve.held))
            .unzip();
        Places {
            own,
            shared,
            reserve,
            held: Mutex::new(held),
        }
    }

    pub(crate) fn own(&self) -> &Limit {
        &self.own
    }

    /// Returns whether somebody waits for a place in one of these limits.
    pub(crate) fn are_wanted(&self) -> bool {
        let mut limits = self.own.path().chain(self.shared.path());
        limits.any(|limit| limit.waiting() > 0)
    }

    /// Returns the number of reserved places.
    pub(crate) fn reserved(&self) -> usize {
        let reserve = self.reserve.as_ref();
        reserve.map_or(0, |reserve| reserve.limit.max())
    }

    /// Gives the reserved places back to all, once no connection uses them.
    pub(crate) fn end_reserve(&self) {
        let held = self.held.lock().take();
        drop(held);
    }

    pub(crate) fn try_take(self: Arc<Self>) -> Result<Admission, Arc<Self>> {
        if !self.own.take() {
            return Err(self);
        }
        let reserve = self.reserve.as_ref();
        let is_reserved = reserve.is_some_and(|reserve| reserve.limit.take());
        if is_reserved || self.shared.take() {
            return Ok(Admission::new(self, is_reserved));
        }
        self.own.release();
        Err(self)
    }

    /// Waits for a place, first in the listener's own limit and then in the shared one.
    pub(crate) fn acquire(self: &Arc<Self>) -> AcquirePlace {
        AcquirePlace {
            own: Own::Waits(self.own.acquire()),
            reserve: self.reserve.as_ref().map(|reserve| reserve.limit.acquire()),
            shared: self.shared.acquire(),
            places: self.clone(),
        }
    }

    pub(crate) fn give_back(&self, place: Place) {
        let Place { .. } = place;
        match &self.reserve {
            // A connection beyond the reserve moves into it.
            Some(reserve) if !reserve.take_beyond() => reserve.limit.release(),
            _ => self.shared.release(),
        }
        self.own.release();
    }
}

impl Reserved {
    /// Returns whether there was a connection beyond the reserve, which is no longer counted.
    fn take_beyond(&self) -> bool {
        let less = |beyond: usize| beyond.checked_sub(1);
        self.beyond
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
            .is_ok()
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("own", &self.own)
            .field("shared", &self.shared)
            .field("reserved", &self.reserved())
            .finish_non_exhaustive()
    }
}

/// A place of one connection in all its limits. It must be given back by [`Places::give_back`]; if
/// it is dropped, it is lost.
#[derive(Debug)]
#[must_use = "a place that is not given back is lost to the limits"]
pub(crate) struct Place {
    _private: (),
}

/// A place that is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Option<Arc<Places>>,
    is_reserved: bool,
}

impl Admission {
    fn new(places: Arc<Places>, is_reserved: bool) -> Self {
        if let (Some(reserve), false) = (&places.reserve, is_reserved) {
            reserve.beyond.fetch_add(1, Ordering::AcqRel);
        }
        Admission {
            places: Some(places),
            is_reserved,
        }
    }

    /// Splits it into the place and the reference to the limits, with which the next place can be
    /// taken.
    pub(crate) fn into_parts(mut self) -> (Place, Option<Arc<Places>>) {
        (Place { _private: () }, self.places.take())
    }

    /// Gives the place back, and returns the reference to the limits.
    pub(crate) fn release(self) -> Option<Arc<Places>> {
        let (place, places) = self.into_parts();
        if let Some(places) = &places {
            places.give_back(place);
        }
        places
    }

    /// Returns whether a limit was lowered after the place was granted, so that no client may be
    /// admitted until enough connections have ended.
    pub(crate) fn is_excessive(&self) -> bool {
        let is_over = |limit: &Limit| limit.taken() > limit.max();
        self.places.as_ref().is_some_and(|places| {
            is_over(&places.own) || !self.is_reserved && places.shared.path().any(is_over)
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.give_back(Place { _private: () });
        }
    }
}

/// The future of [`Places::acquire`].
///
/// While it waits for the shared limit, it keeps its place in the listener's own, for which only
/// acceptors of this listener compete.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub(crate) struct AcquirePlace {
    own: Own,
    reserve: Option<Acquire>,
    shared: Acquire,
    places: Arc<Places>,
}

#[derive(Debug)]
enum Own {
    Waits(Acquire),
    Holds(Option<Permit>),
}

impl Future for AcquirePlace {
    type Output = Admission;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Admission> {
        let this = self.get_mut();
        if let Own::Waits(acquire) = &mut this.own {
            let permit = ready!(Pin::new(acquire).poll(cx));
            this.own = Own::Holds(Some(permit));
        }
        let reserve = this.reserve.as_mut();
        let reserved = match reserve.map(|acquire| Pin::new(acquire).poll(cx)) {
            Some(Poll::Ready(permit)) => Some(permit),
            _ => None,
        };
        let is_reserved = reserved.is_some();
        let permit = match reserved {
            Some(permit) => permit,
            None => ready!(Pin::new(&mut this.shared).poll(cx)),
        };
        permit.keep();
        if let Own::Holds(own) = &mut this.own {
            own.take().into_iter().for_each(Permit::keep);
        }
        Poll::Ready(Admission::new(this.places.clone(), is_reserved))
    }
}
