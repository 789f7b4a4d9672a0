//! The note left in a listening queue (`listener/queue.rs`): no client is forgotten in the queue.

use crate::sync::{Arc, Mutex, WakerSlot, atomic::AtomicBool};
use loom::{
    future::block_on,
    sync::atomic::Ordering::{Acquire, Release},
    thread,
};
use std::{future::poll_fn, task::Poll};

struct Queue {
    came: AtomicBool,
    acceptor: WakerSlot,
    runtime: Mutex<Runtime>,
}

/// The runtime's state of the socket. It checks readiness and registers a waker under one lock, and
/// the note relies on this: clearing the note before the attempt would not be enough.
struct Runtime {
    clients: usize,
    is_registered: bool,
}

impl Queue {
    fn client_comes(&self) {
        let mut runtime = self.runtime.lock();
        runtime.clients += 1;
        let is_registered = std::mem::take(&mut runtime.is_registered);
        drop(runtime);
        if is_registered {
            self.came.store(true, Release);
            self.acceptor.wake();
        }
    }

    fn try_accept(&self) -> bool {
        self.came.store(false, Release);
        let mut runtime = self.runtime.lock();
        if runtime.clients == 0 {
            runtime.is_registered = true;
            return false;
        }
        runtime.clients -= 1;
        drop(runtime);
        self.came.store(true, Release);
        true
    }

    async fn ready(&self) {
        poll_fn(|cx| {
            self.acceptor.register(cx.waker());
            match self.came.load(Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

#[test]
fn every_client_is_accepted() {
    const CLIENTS: usize = 2;
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(5);
    builder.check(|| {
        let queue = Arc::new(Queue {
            // The first attempt leaves the note.
            came: AtomicBool::new(true),
            acceptor: WakerSlot::default(),
            runtime: Mutex::new(Runtime {
                clients: 0,
                is_registered: false,
            }),
        });
        let acceptor = thread::spawn({
            let queue = queue.clone();
            move || {
                let mut accepted = 0;
                while accepted < CLIENTS {
                    block_on(queue.ready());
                    accepted += usize::from(queue.try_accept());
                }
            }
        });
        for _ in 0..CLIENTS {
            queue.client_comes();
        }
        acceptor.join().unwrap();
    });
}
