//! The connection limit: its maximum is never exceeded, no waiter is forgotten, and its count
//! returns to zero.

use crate::{limit::Limit, sync::set_thread_index};
use loom::{future::block_on, model::Builder, thread};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

/// Checks every interleaving of two threads.
fn pair(model: impl Fn() + Sync + Send + 'static) {
    Builder::new().check(model);
}

/// Checks the interleavings of several threads with at most this many preemptions. Bugs typically
/// need only two or three events in an unlucky order.
fn crowd(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Runs `work` in a thread that has its own count once the counts are split.
fn spawn<T: 'static>(
    index: usize,
    limit: &Limit,
    work: impl FnOnce(Limit) -> T + 'static,
) -> thread::JoinHandle<T> {
    let limit = limit.clone();
    thread::spawn(move || {
        set_thread_index(index);
        work(limit)
    })
}

fn assert_unused(limit: &Limit) {
    assert_eq!((limit.taken(), limit.waiting()), (0, 0));
}

#[test]
fn a_permit_reaches_the_waiter() {
    pair(|| {
        let limit = Limit::new(1);
        let permit = limit.try_acquire();
        let waiter = spawn(1, &limit, |limit| drop(block_on(limit.acquire())));
        drop(permit);
        waiter.join().unwrap();
        assert_unused(&limit);
    });
}

#[test]
fn a_waiter_that_gives_up_passes_its_permit_on() {
    crowd(|| {
        let limit = Limit::new(1);
        let permit = limit.try_acquire();
        let inconstant = spawn(1, &limit, |limit| {
            let mut acquire = pin!(limit.acquire());
            let mut cx = Context::from_waker(Waker::noop());
            let _ = acquire.as_mut().poll(&mut cx);
        });
        let constant = spawn(0, &limit, |limit| drop(block_on(limit.acquire())));
        drop(permit);
        inconstant.join().unwrap();
        constant.join().unwrap();
        assert_unused(&limit);
    });
}

#[test]
fn a_raised_limit_admits_waiters() {
    for max in [Some(2), None] {
        crowd(move || {
            let limit = Limit::new(0);
            let waiters = [0, 1].map(|index| {
                spawn(index, &limit, |limit| {
                    drop(block_on(limit.acquire()));
                })
            });
            limit.set_max(max);
            waiters
                .into_iter()
                .for_each(|waiter| waiter.join().unwrap());
            assert_unused(&limit);
        });
    }
}

#[test]
fn a_limit_that_is_set_counts_what_was_taken_without_one() {
    pair(|| {
        let limit = Limit::unlimited();
        let other = spawn(1, &limit, |limit| limit.try_acquire());
        limit.set_max(1);
        let ours = limit.try_acquire();
        let theirs = other.join().unwrap();
        assert!(ours.is_some() != theirs.is_some());
        drop((ours, theirs));
        assert_unused(&limit);
    });
}

#[test]
fn a_limit_that_is_set_again_and_again_is_never_exceeded() {
    pair(|| {
        let limit = Limit::unlimited();
        let other = spawn(1, &limit, |limit| limit.try_acquire());
        limit.set_max(0);
        limit.set_max(None);
        limit.set_max(1);
        let ours = limit.try_acquire();
        let theirs = other.join().unwrap();
        assert!(!(ours.is_some() && theirs.is_some()));
        drop((ours, theirs));
        assert_unused(&limit);
    });
}

#[test]
fn a_dropped_permit_from_before_the_limit_reaches_the_waiter() {
    pair(|| {
        let limit = Limit::unlimited();
        let permit = limit.try_acquire();
        let other = spawn(1, &limit, move |_| drop(permit));
        limit.set_max(1);
        drop(block_on(limit.acquire()));
        other.join().unwrap();
        assert_unused(&limit);
    });
}

#[test]
fn a_permit_that_is_given_back_reaches_the_waiter() {
    pair(|| {
        let limit = Limit::unlimited();
        let other = spawn(1, &limit, |limit| drop(limit.try_acquire()));
        limit.set_max(1);
        drop(block_on(limit.acquire()));
        other.join().unwrap();
        assert_unused(&limit);
    });
}

#[test]
fn threads_that_collide_count_apart_and_exactly() {
    crowd(|| {
        let limit = Limit::unlimited();
        let others = [0, 1].map(|index| {
            spawn(index, &limit, |limit| {
                let first = limit.try_acquire();
                let permit = limit.try_acquire();
                drop(first);
                permit
            })
        });
        limit.set_max(1);
        let ours = limit.try_acquire();
        let theirs = others.map(|other| other.join().unwrap());
        // Permits from before the limit was set may exceed one, later ones may not.
        assert!(ours.is_none() || theirs.iter().all(Option::is_none));
        let taken = ours.iter().chain(theirs.iter().flatten()).count();
        assert_eq!(limit.taken(), taken);
        drop((ours, theirs));
        assert_unused(&limit);
    });
}

#[test]
fn a_permit_of_the_parent_reaches_a_waiter_of_the_child() {
    pair(|| {
        let root = Limit::new(1);
        let leaf = root.child(1);
        let permit = root.try_acquire();
        let waiter = spawn(1, &leaf, |leaf| drop(block_on(leaf.acquire())));
        drop(permit);
        waiter.join().unwrap();
        assert_unused(&leaf);
        assert_unused(&root);
    });
}

#[test]
fn nobody_is_refused_because_of_another_who_is_refused() {
    for max in [1, usize::MAX] {
        pair(move || {
            let root = Limit::new(1);
            let leaf = root.child(max);
            let permit = root.try_acquire();
            let other = spawn(1, &leaf, |leaf| leaf.try_acquire());
            drop(permit);
            let own = leaf.try_acquire();
            assert!(own.is_some() != other.join().unwrap().is_some());
        });
    }
}

#[test]
fn a_waiter_that_gives_up_passes_on_the_permits_of_all_limits() {
    crowd(|| {
        let root = Limit::new(1);
        let leaf = root.child(1);
        let permit = leaf.try_acquire();
        let inconstant = spawn(1, &leaf, |leaf| {
            let mut acquire = pin!(leaf.acquire());
            let _ = acquire
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
        });
        let waiter = spawn(0, &leaf, |leaf| drop(block_on(leaf.acquire())));
        drop(permit);
        inconstant.join().unwrap();
        waiter.join().unwrap();
        assert_unused(&leaf);
        assert_unused(&root);
    });
}
