//! The future that waits for a permit.

use super::{Limit, Permit, state::Queued};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The future returned by [`Limit::acquire`].
#[must_use = "futures do nothing unless they are polled"]
pub struct Acquire {
    limit: Limit,
    /// The place in the queue, after a poll that found no room.
    queued: Option<usize>,
}

impl Acquire {
    pub(super) fn new(limit: Limit) -> Self {
        Acquire {
            limit,
            queued: None,
        }
    }

    fn permit(&mut self) -> Poll<Permit> {
        self.queued = None;
        Poll::Ready(Permit::new(self.limit.clone()))
    }
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        // Cloned outside the lock, since a waker is foreign code.
        let waker = || cx.waker().clone();
        match self.queued {
            None => {
                if let Some(permit) = self.limit.try_acquire() {
                    return Poll::Ready(permit);
                }
                match self.limit.0.enqueue(waker()) {
                    Queued::Admitted => self.permit(),
                    Queued::Waiting(place) => {
                        self.queued = Some(place);
                        Poll::Pending
                    }
                }
            }
            Some(place) => match self.limit.0.is_granted(place, waker()) {
                true => self.permit(),
                false => Poll::Pending,
            },
        }
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        if let Some(place) = self.queued.take() {
            self.limit.0.leave(place);
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
