//! The waker slot: a task that registers and checks afterwards is woken or sees the reason.

use crate::sync::{Arc, WakerSlot, atomic::AtomicBool};
use loom::{future::block_on, sync::atomic::Ordering, thread};
use std::{future::poll_fn, task::Poll};

#[test]
fn a_wake_is_never_lost() {
    loom::model(|| {
        let shared = Arc::new((AtomicBool::new(false), WakerSlot::default()));
        let waiter = thread::spawn({
            let shared = shared.clone();
            move || {
                let (happened, slot) = &*shared;
                block_on(poll_fn(|cx| {
                    slot.register(cx.waker());
                    match happened.load(Ordering::Acquire) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                }));
            }
        });
        let (happened, slot) = &*shared;
        happened.store(true, Ordering::Release);
        slot.wake();
        waiter.join().unwrap();
    });
}

#[test]
fn the_waker_that_was_registered_last_is_woken() {
    loom::model(|| {
        let shared = Arc::new((AtomicBool::new(false), WakerSlot::default()));
        // The previous waker belongs to another task.
        shared.1.register(std::task::Waker::noop());
        let waker = thread::spawn({
            let shared = shared.clone();
            move || {
                let (happened, slot) = &*shared;
                happened.store(true, Ordering::Release);
                slot.wake();
            }
        });
        let (happened, slot) = &*shared;
        block_on(poll_fn(|cx| {
            slot.register(cx.waker());
            match happened.load(Ordering::Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        waker.join().unwrap();
    });
}
