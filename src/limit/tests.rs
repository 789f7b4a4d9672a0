//! Behaviour that cannot be seen from outside, or only by chance.

use super::*;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

pub(super) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

pub(super) fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

pub(super) fn waiters(limit: &Limit, count: usize) -> Vec<Acquire> {
    let mut waiters: Vec<_> = (0..count).map(|_| limit.acquire()).collect();
    assert!(waiters.iter_mut().all(|waiter| poll(waiter).is_pending()));
    waiters
}

/// Waits for a permit in this thread.
pub(super) fn wait(limit: &Limit) -> Permit {
    let me = thread::current();
    let waker = Waker::from(Arc::new(Does(move || me.unpark())));
    let mut waiter = limit.acquire();
    loop {
        match poll_with(&mut waiter, &waker) {
            Poll::Ready(permit) => return permit,
            Poll::Pending => thread::park(),
        }
    }
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
fn waiters_are_served_in_turn_and_not_overtaken() {
    let limit = Limit::new(1);
    let permit = limit.try_acquire().unwrap();
    let mut waiters = waiters(&limit, 2);
    drop(permit);
    assert!(limit.try_acquire().is_none());
    assert!(poll(&mut waiters[1]).is_pending());
    assert!(poll(&mut waiters[0]).is_ready());
}

#[test]
fn a_permit_that_nobody_fetched_goes_to_the_next() {
    let limit = Limit::new(1);
    let permit = limit.try_acquire().unwrap();
    let mut waiters = waiters(&limit, 2);
    drop(permit);
    drop(waiters.remove(0));
    assert!(poll(&mut waiters[0]).is_ready());
    drop(waiters);
    assert_eq!(limit.taken(), 0);
}

#[test]
fn waiters_that_have_left_are_not_counted() {
    let limit = Limit::new(0);
    for _ in 0..1000 {
        assert!(poll(&mut limit.acquire()).is_pending());
    }
    assert_eq!((limit.taken(), limit.waiting()), (0, 0));
}

#[test]
fn waiters_that_leave_in_any_order_keep_the_order_of_the_rest() {
    let limit = Limit::new(0);
    let mut waiters: Vec<_> = waiters(&limit, 200).into_iter().enumerate().collect();
    let mut seed = 7_usize;
    for left in (1..200).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        drop(waiters.remove((seed >> 33) % waiters.len()));
        assert_eq!(limit.waiting(), left);
        if left % 8 == 0 {
            // A place that was freed is reused, at the end of the queue.
            let mut late = limit.acquire();
            assert!(poll(&mut late).is_pending());
            waiters.push((1000 - left, late));
            drop(waiters.remove(0));
        }
    }
    let mut waiters: Vec<_> = waiters.into_iter().map(|(_, waiter)| waiter).collect();
    waiters.extend(self::waiters(&limit, 50));
    for served in 0..waiters.len() {
        limit.set_max(served + 1);
        let ready = waiters[served..].iter_mut().map(poll);
        let ready: Vec<_> = ready.map(|poll| poll.map(std::mem::forget)).collect();
        assert!(ready[0].is_ready() && ready[1..].iter().all(Poll::is_pending));
    }
}

/// Takes about 50 ms. With a search of the queue for each waiter, it took more than ten minutes.
#[test]
fn many_waiters_leave_at_once() {
    let limit = Limit::new(0);
    let mut waiters = waiters(&limit, 100_000);
    let started = std::time::Instant::now();
    // In reverse, so that a search from the front would pass over all others.
    waiters.drain(..).rev().for_each(drop);
    assert_eq!(limit.waiting(), 0);
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn the_memory_of_a_long_queue_is_given_back() {
    let limit = Limit::new(0);
    drop(waiters(&limit, 10_000));
    assert!(limit.0.places() <= 32);
}

/// A waker that does something when it is woken or dropped.
pub(super) struct Does<F: Fn() + Send + Sync>(pub(super) F);

impl<F: Fn() + Send + Sync + 'static> Wake for Does<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

#[test]
fn a_waker_may_use_the_limit() {
    let limit = Limit::new(1);
    let held = Arc::new(Mutex::new(limit.try_acquire()));
    let waker = {
        let (limit, held) = (limit.clone(), held.clone());
        Waker::from(Arc::new(Does(move || {
            held.lock().unwrap().take();
            assert!(limit.taken() <= 2);
        })))
    };
    let mut waiter = limit.acquire();
    assert!(poll_with(&mut waiter, &waker).is_pending());
    limit.set_max(2);
    assert!(poll_with(&mut waiter, &waker).is_ready());
    assert!(held.lock().unwrap().is_none());
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let limit = Limit::new(0);
    let woken = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let mut waiter = limit.acquire();
    for woken in woken.clone() {
        let waker = Waker::from(Arc::new(Does(move || woken.store(true, Ordering::SeqCst))));
        assert!(poll_with(&mut waiter, &waker).is_pending());
    }
    limit.set_max(1);
    assert_eq!(
        woken.map(|woken| woken.load(Ordering::SeqCst)),
        [false, true]
    );
}

#[test]
fn permits_taken_without_a_limit_count_when_there_is_one() {
    let limit = Limit::unlimited();
    let mut permits: Vec<_> = (0..5).map(|_| limit.try_acquire().unwrap()).collect();
    assert_eq!((limit.taken(), limit.max()), (5, usize::MAX));
    limit.set_max(5);
    assert!(limit.try_acquire().is_none());
    let mut waiter = limit.acquire();
    assert!(poll(&mut waiter).is_pending());
    permits.pop();
    assert!(poll(&mut waiter).is_ready());
    limit.set_max(None);
    permits.clear();
    drop(waiter);
    assert_eq!(limit.taken(), 0);
}

#[test]
fn waiters_are_admitted_when_the_limit_is_lifted() {
    let limit = Limit::new(0);
    let mut waiters = waiters(&limit, 100);
    assert_eq!(limit.waiting(), 100);
    limit.set_max(None);
    assert_eq!((limit.taken(), limit.waiting()), (100, 0));
    let permits: Vec<_> = waiters.iter_mut().map(poll).collect();
    assert!(permits.iter().all(Poll::is_ready));
    drop(permits);
    assert_eq!(limit.taken(), 0);
}

#[test]
fn a_place_outlives_its_permit_until_it_is_given_back() {
    for limit in [Limit::new(2), Limit::unlimited()] {
        let places = Arc::new(Places::new(Limit::unlimited(), limit.clone(), None));
        let (place, reference) = places.clone().try_take().unwrap().into_parts();
        let other = reference.unwrap().try_take().unwrap();
        assert_eq!((limit.taken(), places.own().taken()), (2, 2));
        places.give_back(place);
        assert!(other.release().is_some());
        assert_eq!((limit.taken(), places.own().taken()), (0, 0));
    }
}

/// Permits that one thread takes and another drops, so that the number of each thread is far from
/// zero.
#[test]
fn the_count_of_an_unlimited_limit_is_exact_over_threads() {
    let limit = Limit::unlimited();
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..3 {
            let (limit, sender) = (limit.clone(), sender.clone());
            scope.spawn(move || {
                for _ in 0..20_000 {
                    sender.send(limit.try_acquire().unwrap()).unwrap();
                }
            });
        }
        drop(sender);
        let kept: Vec<_> = receiver.iter().step_by(1000).collect();
        assert_eq!((kept.len(), limit.taken()), (60, 60));
        limit.set_max(60);
        assert!(limit.try_acquire().is_none());
    });
    assert_eq!(limit.taken(), 0);
}

#[test]
fn no_number_of_changes_at_once_admits_one_too_many() {
    let limit = Limit::new(4);
    let open = AtomicUsize::new(0);
    thread::scope(|scope| {
        for seed in 0..4_usize {
            let (limit, open) = (&limit, &open);
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
    assert_eq!(limit.taken(), 0);
    let permits: Vec<_> = (0..9).map_while(|_| limit.try_acquire()).collect();
    assert_eq!(permits.len(), 8);
}

/// Threads take permits, wait, give up and give back, while another thread removes and sets the
/// limit. In the end no waiter is left, and the count is zero.
#[test]
fn a_limit_that_is_lifted_and_set_again_loses_nobody() {
    let limit = Limit::new(1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..3_usize {
            let (limit, done) = (&limit, &done);
            scope.spawn(move || {
                for step in 0..3_000 {
                    match (seed + step) % 3 {
                        0 => drop(poll(&mut limit.acquire())),
                        _ => drop(wait(limit)),
                    }
                }
                if seed == 0 {
                    done.store(true, Ordering::SeqCst);
                }
            });
        }
        let mut step = 0_usize;
        while !done.load(Ordering::SeqCst) {
            step += 1;
            limit.set_max([Some(1), None, Some(2)][step % 3]);
            thread::yield_now();
        }
        limit.set_max(1);
    });
    assert_eq!((limit.taken(), limit.waiting()), (0, 0));
}
