//! The limits that apply to the connections of one listener.

use super::{Acquire, Limit, Permit};
use crate::sync::Mutex;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The limits in which each connection of a listener takes a place.
pub(crate) struct Places {
    /// Limits and counts the connections of this listener.
    own: Limit,
    /// Limits the connections of the server.
    server: Limit,
    /// Places of the server's limit that only this listener uses.
    reserve: Option<Limit>,
    reserved: usize,
    /// Keeps the reserve out of the server's limit. Nothing else here refers to it, since handles of
    /// connections that have ended keep this.
    held: Mutex<Option<Arc<Held>>>,
}

/// A part of a server's limit that is reserved for one or more listeners.
#[derive(Clone)]
pub(crate) struct Reserve {
    limit: Limit,
    held: Arc<Held>,
}

struct Held {
    server: Limit,
    count: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.server.0.unreserve(self.count);
    }
}

impl Reserve {
    /// Reserves `count` places of the server's limit.
    pub(crate) fn new(server: &Limit, count: usize) -> Self {
        server.0.reserve(count);
        Reserve {
            limit: Limit::new(count),
            held: Arc::new(Held {
                server: server.clone(),
                count,
            }),
        }
    }
}

impl Places {
    pub(crate) fn new(own: Limit, server: Limit, reserve: Option<Reserve>) -> Self {
        let reserved = reserve.as_ref().map_or(0, |reserve| reserve.held.count);
        let (reserve, held) = reserve.map(|Reserve { limit, held }| (limit, held)).unzip();
        Places {
            own,
            server,
            reserve,
            reserved,
            held: Mutex::new(held),
        }
    }

    pub(crate) fn own(&self) -> &Limit {
        &self.own
    }

    /// Returns the number of reserved places.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Gives the reserved places back to the server's limit, once no connection uses them.
    pub(crate) fn end_reserve(&self) {
        let held = self.held.lock().take();
        drop(held);
    }

    pub(crate) fn try_take(self: Arc<Self>) -> Result<Admission, Arc<Self>> {
        if !self.own.0.try_take() {
            return Err(self);
        }
        let reserve = self.reserve.as_ref();
        let is_reserved = reserve.is_some_and(|reserve| reserve.0.try_take());
        if is_reserved || self.server.0.try_take() {
            return Ok(Admission::new(self, is_reserved));
        }
        self.own.0.release();
        Err(self)
    }

    /// Waits for a place, first in the listener's own limit and then in the server's.
    pub(crate) fn acquire(self: &Arc<Self>) -> AcquirePlace {
        AcquirePlace {
            own: Own::Waits(self.own.acquire()),
            reserve: self.reserve.as_ref().map(Limit::acquire),
            server: self.server.acquire(),
            places: self.clone(),
        }
    }

    pub(crate) fn give_back(&self, place: Place) {
        let Place { is_reserved } = place;
        match &self.reserve {
            Some(reserve) if is_reserved => reserve.0.release(),
            _ => self.server.0.release(),
        }
        self.own.0.release();
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("own", &self.own)
            .field("server", &self.server)
            .field("reserved", &self.reserved())
            .finish_non_exhaustive()
    }
}

/// A place of one connection in all its limits. It must be given back by [`Places::give_back`]; if
/// it is dropped, it is lost.
#[derive(Debug)]
#[must_use = "a place that is not given back is lost to the limits"]
pub(crate) struct Place {
    is_reserved: bool,
}

/// A place that is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Option<Arc<Places>>,
    is_reserved: bool,
}

impl Admission {
    fn new(places: Arc<Places>, is_reserved: bool) -> Self {
        Admission {
            places: Some(places),
            is_reserved,
        }
    }

    /// Splits it into the place and the reference to the limits, with which the next place can be
    /// taken.
    pub(crate) fn into_parts(mut self) -> (Place, Option<Arc<Places>>) {
        (self.place(), self.places.take())
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
        let is_over = |limit: &Limit| limit.taken() > limit.0.max();
        self.places.as_ref().is_some_and(|places| {
            is_over(&places.own) || !self.is_reserved && is_over(&places.server)
        })
    }

    fn place(&self) -> Place {
        Place {
            is_reserved: self.is_reserved,
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.give_back(self.place());
        }
    }
}

/// The future of [`Places::acquire`].
///
/// While it waits for the server's limit, it keeps its place in the listener's own, for which only
/// acceptors of this listener compete.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub(crate) struct AcquirePlace {
    own: Own,
    reserve: Option<Acquire>,
    server: Acquire,
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
            None => ready!(Pin::new(&mut this.server).poll(cx)),
        };
        permit.keep();
        if let Own::Holds(own) = &mut this.own {
            own.take().into_iter().for_each(Permit::keep);
        }
        Poll::Ready(Admission::new(this.places.clone(), is_reserved))
    }
}
