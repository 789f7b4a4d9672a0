//! A limit of how many there may be: exact, first come first served, changeable at any time.
//!
//! A server has one for its connections, and layers have use for it too.

use crate::sync::{Mutex, WakerSlot};
use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

/// Like a semaphore whose size may change, also to less than what is taken. Clones share it.
///
/// Everything that counts changes under one lock, and a place that becomes free goes to the first in
/// the queue before anybody else can have it; so more than `max` are taken only where `max` was lowered, and
/// nobody is overtaken.
#[derive(Clone)]
pub struct Limit(Arc<Mutex<State>>);

struct State {
    max: usize,
    taken: usize,
    queue: VecDeque<Arc<Waiter>>,
}

#[derive(Default)]
struct Waiter {
    granted: AtomicBool,
    waker: WakerSlot,
}

/// The right to be one of those that a [`Limit`] counts; dropping it gives it back.
#[derive(Debug)]
pub struct Permit(Limit);

impl Limit {
    /// A limit of `max`; `usize::MAX` is none.
    pub fn new(max: usize) -> Self {
        Limit(Arc::new(Mutex::new(State {
            max,
            taken: 0,
            queue: VecDeque::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// How many there may be.
    pub fn max(&self) -> usize {
        self.state().max
    }

    /// How many there are.
    pub fn taken(&self) -> usize {
        self.state().taken
    }

    /// Sets how many there may be. Who waits is admitted at once if there is room now; where there are more
    /// than `max`, nobody is until enough have left.
    pub fn set_max(&self, max: usize) {
        self.change(|state| state.max = max);
    }

    /// Takes a permit if there is one and nobody waits for it.
    pub fn try_acquire(&self) -> Option<Permit> {
        let mut state = self.state();
        if state.taken >= state.max || !state.queue.is_empty() {
            return None;
        }
        state.taken += 1;
        Some(Permit(self.clone()))
    }

    /// Waits for a permit. Cancel safe: a place in the queue is lost, a permit never is.
    pub fn acquire(&self) -> Acquire {
        Acquire {
            limit: self.clone(),
            waiter: None,
        }
    }

    /// Changes what counts, and admits those for whom there is room now.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        while state.taken < state.max {
            let Some(first) = state.queue.pop_front() else {
                return;
            };
            state.taken += 1;
            first.granted.store(true, Ordering::Release);
            // A waker may run anything, such as the drop of a permit.
            drop(state);
            first.waker.wake();
            state = self.state();
        }
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Limit")
            .field("max", &state.max)
            .field("taken", &state.taken)
            .finish()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.change(|state| state.taken -= 1);
    }
}

/// The future of [`Limit::acquire`].
pub struct Acquire {
    limit: Limit,
    waiter: Option<Arc<Waiter>>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        if self.waiter.is_none() {
            if let Some(permit) = self.limit.try_acquire() {
                return Poll::Ready(permit);
            }
            let waiter = Arc::new(Waiter::default());
            waiter.waker.register(cx.waker());
            // A place may have become free since it was asked for.
            self.limit
                .change(|state| state.queue.push_back(waiter.clone()));
            self.waiter = Some(waiter);
        }
        if let Some(waiter) = &self.waiter {
            waiter.waker.register(cx.waker());
            if waiter.granted.load(Ordering::Acquire) {
                self.waiter = None;
                return Poll::Ready(Permit(self.limit.clone()));
            }
        }
        Poll::Pending
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else {
            return;
        };
        self.limit.change(|state| {
            if waiter.granted.load(Ordering::Acquire) {
                state.taken -= 1;
            } else {
                state.queue.retain(|other| !Arc::ptr_eq(other, &waiter));
            }
        });
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicUsize, thread};

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn a_lowered_limit_admits_nobody_until_enough_have_left() {
        let limit = Limit::new(3);
        let mut permits: Vec<_> = (0..3).map(|_| limit.try_acquire().unwrap()).collect();
        limit.set_max(1);
        limit.set_max(2);
        permits.pop();
        assert!(limit.try_acquire().is_none());
        permits.pop();
        assert!(limit.try_acquire().is_some());
    }

    #[test]
    fn who_waits_is_served_in_turn_and_not_overtaken() {
        let limit = Limit::new(1);
        let permit = limit.try_acquire().unwrap();
        let (mut first, mut second) = (limit.acquire(), limit.acquire());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        drop(permit);
        assert!(limit.try_acquire().is_none());
        assert!(poll(&mut second).is_pending());
        assert!(poll(&mut first).is_ready());
    }

    #[test]
    fn a_permit_that_nobody_fetched_goes_to_the_next() {
        let limit = Limit::new(1);
        let permit = limit.try_acquire().unwrap();
        let (mut first, mut second) = (limit.acquire(), limit.acquire());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        drop(permit);
        drop(first);
        assert!(poll(&mut second).is_ready());
        assert_eq!(limit.state().taken, 0);
    }

    #[test]
    fn nobody_stays_in_the_queue_who_has_left() {
        let limit = Limit::new(0);
        for _ in 0..1000 {
            assert!(poll(&mut limit.acquire()).is_pending());
        }
        assert!(limit.state().queue.is_empty());
    }

    #[test]
    fn no_number_of_changes_at_once_admits_one_too_many() {
        let limit = Limit::new(4);
        let open = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            for seed in 0..4_usize {
                let (limit, open) = (limit.clone(), open.clone());
                scope.spawn(move || {
                    for step in 0..5_000 {
                        if let Some(permit) = limit.try_acquire() {
                            assert!(open.fetch_add(1, Ordering::SeqCst) < 8);
                            open.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                        limit.set_max((seed + step) % 9);
                    }
                });
            }
        });
        limit.set_max(8);
        assert_eq!(limit.state().taken, 0);
        assert_eq!(
            (0..8)
                .map_while(|_| limit.try_acquire().map(std::mem::forget))
                .count(),
            8
        );
    }
}
