//! When HTTP/1 waits for a request, as hyper itself says it: by the timer it asks for.
//!
//! hyper starts a timer for each head and drops it when the head is there. These timers are none: they note
//! what hyper waits for, and the connection's one timer looks at the notes.

use hyper::rt::{Sleep, Timer};
use reagent::ConnectionHandle;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// What hyper waits for. Times are nanoseconds since `began`, and 0 is never.
pub(super) struct Head {
    handle: ConnectionHandle,
    began: Instant,
    hyper_began: std::time::Instant,
    /// Since when a head is waited for, and how many bytes had come by then.
    wanted: AtomicU64,
    read: AtomicU64,
    /// How many had gone by then: the answers before, but for what a client does not take.
    written: AtomicU64,
    /// When a part of it was there.
    partial: AtomicU64,
}

pub(super) enum Wait {
    /// For nothing: a request is being served.
    None,
    /// For a request, since then, when so many bytes had been written.
    Request(Instant, u64),
    /// For the rest of a head, since then.
    Rest(Instant),
}

impl Head {
    /// Of a connection from which something has come at `began`.
    pub(super) fn new(handle: ConnectionHandle, began: Instant) -> Self {
        Head {
            handle,
            began,
            hyper_began: std::time::Instant::now(),
            wanted: AtomicU64::new(0),
            // So the first head is in parts from the start.
            read: AtomicU64::new(u64::MAX),
            written: AtomicU64::new(0),
            partial: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64 | 1
    }

    pub(super) fn wait(&self) -> Wait {
        let at = |nanos| self.began + Duration::from_nanos(nanos);
        match (self.wanted.load(Relaxed), self.partial.load(Relaxed)) {
            (0, _) => Wait::None,
            (wanted, 0) => Wait::Request(at(wanted), self.written.load(Relaxed)),
            (_, partial) => Wait::Rest(at(partial)),
        }
    }
}

/// The timer that hyper is given.
pub(super) struct HeadTimer(pub(super) Arc<Head>);

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.0.hyper_began)
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        let head = &*self.0;
        head.wanted.store(head.now(), Relaxed);
        head.partial.store(0, Relaxed);
        head.written.store(head.handle.bytes_written(), Relaxed);
        if head.read.load(Relaxed) != u64::MAX {
            head.read.store(head.handle.bytes_read(), Relaxed);
        }
        Box::pin(HeadSleep(self.0.clone()))
    }

    /// What comes of it is not looked at.
    fn now(&self) -> std::time::Instant {
        self.0.hyper_began
    }
}

struct HeadSleep(Arc<Head>);

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    /// Polled when hyper has read what there was, and has no head.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let head = &*self.0;
        if head.partial.load(Relaxed) == 0 && head.handle.bytes_read() != head.read.load(Relaxed) {
            head.partial.store(head.now(), Relaxed);
        }
        Poll::Pending
    }
}

impl Drop for HeadSleep {
    fn drop(&mut self) {
        self.0.wanted.store(0, Relaxed);
        self.0.read.store(0, Relaxed);
    }
}
