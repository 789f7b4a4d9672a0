//! The future that waits for a permit.

use super::{Limit, Permit, Share, state::Queued, wakes::Wakes};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// The future returned by [`Limit::acquire`].
#[must_use = "futures do nothing unless they are polled"]
pub struct Acquire {
    limit: Limit,
    /// The permits that it has, after a poll that found no room: those of `limit` and of the limits
    /// above it, up to this one.
    reached: Option<Limit>,
    /// The place in the queue of the next limit.
    queued: Option<usize>,
}

impl Acquire {
    pub(super) fn new(limit: Limit) -> Self {
        Acquire {
            limit,
            reached: None,
            queued: None,
        }
    }

    /// Returns the limit whose permit is needed next, if there is one.
    fn next(&self) -> Option<(Limit, Share)> {
        match &self.reached {
            None => Some((self.limit.clone(), Share::General)),
            Some(reached) => {
                let (limit, share) = reached.0.parent()?;
                Some((limit.clone(), share))
            }
        }
    }

    /// Takes the next permit, or waits for it.
    fn advance(&mut self, limit: &Limit, share: Share, waker: Waker) -> bool {
        let is_granted = match self.queued {
            Some(place) => limit.0.is_granted(share, place, waker),
            None => match limit.0.enqueue(share, waker) {
                Queued::Admitted => true,
                Queued::Waiting(place) => {
                    self.queued = Some(place);
                    false
                }
            },
        };
        if is_granted {
            self.queued = None;
            self.reached = Some(limit.clone());
        }
        is_granted
    }
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        if self.reached.is_none() && self.queued.is_none() {
            if let Some(permit) = self.limit.try_acquire() {
                return Poll::Ready(permit);
            }
        }
        while let Some((limit, share)) = self.next() {
            // Cloned outside the lock, since a waker is foreign code.
            let waker = cx.waker().clone();
            if !self.advance(&limit, share, waker) {
                return Poll::Pending;
            }
        }
        self.reached = None;
        Poll::Ready(Permit::new(self.limit.clone()))
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        if self.queued.is_none() && self.reached.is_none() {
            return;
        }
        let mut wakes = Wakes::default();
        if let (Some(place), Some((limit, share))) = (self.queued.take(), self.next()) {
            limit.0.leave(share, place, &mut wakes);
        }
        if let Some(reached) = self.reached.take() {
            let limit = &self.limit.0;
            limit.release(Share::General, Some(&reached), &mut wakes);
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
