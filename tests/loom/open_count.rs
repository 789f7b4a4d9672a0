//! The holders of a connection: it ends once, after the last of them, and none can be added
//! afterwards.

use crate::sync::{
    Arc, OpenCount,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use loom::thread;

#[test]
fn the_last_to_leave_ends_it_and_sees_what_the_others_did() {
    loom::model(|| {
        let shared = Arc::new((OpenCount::of_one(), AtomicUsize::new(0)));
        let leave = |shared: &(OpenCount, AtomicUsize)| {
            let (count, work) = shared;
            work.fetch_add(1, Relaxed);
            let is_last = count.leave();
            assert!(!is_last || work.load(Relaxed) == 2);
            is_last
        };
        assert!(shared.0.enter());
        let other = thread::spawn({
            let shared = shared.clone();
            move || leave(&shared)
        });
        let ended = [leave(&shared), other.join().unwrap()];
        assert_eq!(ended.into_iter().filter(|ended| *ended).count(), 1);
        assert!(!shared.0.enter());
    });
}

#[test]
fn a_holder_that_comes_late_keeps_it_open_or_finds_it_ended() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let shared = Arc::new((OpenCount::of_one(), AtomicUsize::new(0)));
        let leave = |shared: &(OpenCount, AtomicUsize)| {
            let (count, ends) = shared;
            if count.leave() {
                ends.fetch_add(1, Relaxed);
            }
        };
        let late = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (count, ends) = &*shared;
                if count.enter() {
                    assert_eq!(ends.load(Relaxed), 0);
                    leave(&shared);
                }
            })
        });
        leave(&shared);
        for late in late {
            late.join().unwrap();
        }
        assert_eq!(shared.1.load(Relaxed), 1);
        assert!(!shared.0.enter());
    });
}
