//! Trees of limits, and reserved permits.

use super::{tests::*, *};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread,
};

fn take(limit: &Limit, count: usize) -> Vec<Permit> {
    let permits: Vec<_> = (0..count).map_while(|_| limit.try_acquire()).collect();
    assert_eq!(permits.len(), count);
    permits
}

#[test]
fn a_child_takes_permits_of_all_limits_above_or_none() {
    for max in [2, usize::MAX] {
        let root = Limit::new(3);
        let middle = root.child(max);
        let (leaf, other) = (middle.child(max), root.child(max));
        let held = take(&leaf, 2);
        let last = take(&other, 1);
        assert!(leaf.try_acquire().is_none() && other.try_acquire().is_none());
        assert_eq!((root.taken(), middle.taken(), leaf.taken()), (3, 2, 2));
        drop(last);
        assert_eq!(leaf.try_acquire().is_some(), max > 2);
        drop(held);
        assert_eq!((root.taken(), middle.taken(), leaf.taken()), (0, 0, 0));
    }
}

#[test]
fn who_waits_for_a_parent_keeps_the_permit_of_the_child_until_it_gives_up() {
    let root = Limit::new(1);
    let (leaf, other) = (root.child(1), root.child(1));
    let held = other.try_acquire().unwrap();
    let mut waiters = waiters(&leaf, 2);
    assert_eq!((leaf.taken(), leaf.waiting(), root.waiting()), (1, 1, 1));

    // The second waiter of the leaf takes the place of the first at the root.
    drop(waiters.remove(0));
    assert!(poll(&mut waiters[0]).is_pending());
    assert_eq!((leaf.taken(), leaf.waiting(), root.waiting()), (1, 0, 1));
    drop(held);
    let Poll::Ready(permit) = poll(&mut waiters[0]) else {
        panic!("the root has room");
    };
    assert_eq!((leaf.taken(), root.taken()), (1, 1));
    drop(permit);
    assert_eq!((leaf.taken(), other.taken(), root.taken()), (0, 0, 0));
}

#[test]
fn a_permit_granted_to_who_gives_up_goes_to_the_next_at_every_level() {
    let root = Limit::new(1);
    let (leaf, other) = (root.child(1), root.child(1));
    let held = root.try_acquire().unwrap();
    let mut first = waiters(&leaf, 2);
    let mut second = waiters(&other, 1);
    drop(held);
    // It was granted the permit of the root, but did not fetch it.
    drop(first.remove(0));
    assert!(poll(&mut first[0]).is_pending());
    assert!(poll(&mut second[0]).is_ready());
    assert!(poll(&mut first[0]).is_ready());
    drop((first, second));
    assert_eq!((leaf.taken(), other.taken(), root.taken()), (0, 0, 0));
}

#[test]
fn a_waker_that_panics_costs_no_permit() {
    let root = Limit::new(1);
    let leaf = root.child(1);
    let permit = leaf.try_acquire().unwrap();
    let waker = Waker::from(Arc::new(Does(|| panic!("by a waker"))));
    let (mut at_root, mut at_leaf) = (root.acquire(), leaf.acquire());
    assert!(poll_with(&mut at_leaf, &waker).is_pending());
    assert!(poll_with(&mut at_root, &waker).is_pending());
    drop(permit);
    assert!(poll(&mut at_root).is_ready());
    assert!(poll(&mut at_leaf).is_ready());
    assert_eq!((leaf.taken(), root.taken()), (0, 0));
}

/// Threads take permits of leaves and of the root, wait, and give up, while the maxima of all
/// limits change. None is ever exceeded by new permits, and in the end none is in use.
#[test]
fn no_limit_of_a_tree_is_exceeded_or_keeps_a_permit() {
    const MAX: usize = 4;
    let root = Limit::new(MAX);
    let middle = root.child(MAX);
    let leaves: Vec<_> = [&root, &middle, &middle].map(|limit| limit.child(2)).into();
    let open: Vec<_> = (0..5).map(|_| AtomicUsize::new(0)).collect();
    let (root_open, middle_open) = (&open[3], &open[4]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..3_usize {
            let (leaves, open, done) = (&leaves, &open, &done);
            scope.spawn(move || {
                for step in 0..4_000 {
                    let leaf = (seed + step) % 3;
                    let permit = match step % 5 {
                        0 => leaves[leaf].try_acquire(),
                        1 => {
                            let _ = poll(&mut leaves[leaf].acquire());
                            None
                        }
                        _ => Some(wait(&leaves[leaf])),
                    };
                    let Some(permit) = permit else { continue };
                    assert!(open[leaf].fetch_add(1, SeqCst) < 3);
                    assert!(root_open.fetch_add(1, SeqCst) < MAX);
                    if leaf > 0 {
                        assert!(middle_open.fetch_add(1, SeqCst) < MAX);
                        middle_open.fetch_sub(1, SeqCst);
                    }
                    open[leaf].fetch_sub(1, SeqCst);
                    root_open.fetch_sub(1, SeqCst);
                    drop(permit);
                }
                if seed == 0 {
                    done.store(true, SeqCst);
                }
            });
        }
        let mut step = 0_usize;
        while !done.load(SeqCst) {
            step += 1;
            leaves[step % 3].set_max([Some(1), Some(3), None][step / 3 % 3]);
            middle.set_max([Some(MAX), Some(1), None, Some(3)][step / 2 % 4]);
            root.set_max(1 + step % MAX);
            leaves.iter().for_each(|leaf| leaf.set_max(3));
            thread::yield_now();
        }
        root.set_max(MAX);
        middle.set_max(MAX);
    });
    for limit in leaves.iter().chain([&root, &middle]) {
        assert_eq!((limit.taken(), limit.waiting()), (0, 0));
    }
}

#[test]
fn reserved_permits_are_kept_for_the_child_and_never_exceed_the_maximum() {
    let limit = Limit::new(3);
    limit.0.reserve(2);
    let child = limit.reserved_child(2);
    let general = take(&limit, 1);
    assert!(limit.try_acquire().is_none());
    let reserved = take(&child, 2);
    assert_eq!((limit.taken(), child.taken()), (3, 2));
    drop(general);
    drop(reserved);
    limit.0.unreserve(2);
    drop(take(&limit, 3));
}

#[test]
fn permits_reserved_in_a_full_limit_come_as_others_are_given_back() {
    let limit = Limit::new(3);
    let mut general = take(&limit, 3);
    let mut waiting = waiters(&limit, 1);
    limit.0.reserve(2);
    let child = limit.reserved_child(2);
    let mut reserved = waiters(&child, 2);
    let mut permits = Vec::new();
    for waiter in &mut reserved {
        assert!(poll(waiter).is_pending());
        general.pop();
        let Poll::Ready(permit) = poll(waiter) else {
            panic!("a permit came back");
        };
        permits.push(permit);
    }
    assert_eq!((limit.taken(), child.taken()), (3, 2));
    assert!(poll(&mut waiting[0]).is_pending());
    // What comes back to the reserve is kept.
    permits.pop();
    assert!(poll(&mut waiting[0]).is_pending());
    general.pop();
    assert!(poll(&mut waiting[0]).is_ready());
}

#[test]
fn reserved_permits_remain_when_the_maximum_is_lowered() {
    let limit = Limit::new(5);
    limit.0.reserve(1);
    let child = limit.reserved_child(1);
    let _general = take(&limit, 4);
    limit.set_max(0);
    assert!(limit.try_acquire().is_none());
    drop(take(&child, 1));
    limit.set_max(None);
    drop(take(&child, 1));
    assert!(limit.try_acquire().is_some());
}
