//! One direction of a stream, as its reads or writes go by.

use super::layer::Limits;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// Nobody waits.
const NOT: u64 = 0;

/// The last attempt had to wait, and nobody has come back for it.
const GIVEN_UP: u64 = u64::MAX;

/// What is noted of a direction. What no limit asks for is not: most of the cost is reading the clock.
#[derive(Clone, Copy, Debug)]
struct Notes {
    last: bool,
    waits: bool,
    /// Waits for the first byte.
    first_wait: bool,
    awaited: bool,
}

/// Times are nanoseconds since the connection began.
#[derive(Debug)]
pub(super) struct Flow {
    notes: Notes,
    bytes: AtomicU64,
    last: AtomicU64,
    waiting_since: AtomicU64,
    awaited: AtomicU64,
    waiter: Mutex<Waiter>,
}

/// The task that waits, and the one that wants to know whether it still does.
#[derive(Debug, Default)]
struct Waiter {
    polls: u64,
    task: Option<Waker>,
    asker: Option<Waker>,
}

/// Never [`NOT`].
fn nanos_since(began: Instant) -> u64 {
    began.elapsed().as_nanos() as u64 | 1
}

impl Flow {
    pub(super) fn of_reads(limits: &Limits) -> Self {
        Flow::new(Notes {
            last: limits.idle.is_some(),
            waits: limits.read.is_some() || limits.rate.is_some(),
            first_wait: limits.first_byte.is_some(),
            awaited: limits.rate.is_some(),
        })
    }

    pub(super) fn of_writes(limits: &Limits) -> Self {
        Flow::new(Notes {
            last: limits.idle.is_some(),
            // Writes seldom wait, and the end of a connection depends on whether one does.
            waits: true,
            first_wait: false,
            awaited: limits.rate.is_some(),
        })
    }

    fn new(notes: Notes) -> Self {
        Flow {
            notes,
            bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            waiting_since: AtomicU64::new(NOT),
            awaited: AtomicU64::new(0),
            waiter: Mutex::default(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// When bytes went last.
    pub(super) fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Relaxed))
    }

    /// Since when somebody waits for the client.
    pub(super) fn waiting_since(&self) -> Option<Duration> {
        match self.waiting_since.load(Relaxed) {
            NOT | GIVEN_UP => None,
            since => Some(Duration::from_nanos(since)),
        }
    }

    /// Whether the last attempt had to wait, and no later one has succeeded.
    pub(super) fn is_stuck(&self) -> bool {
        self.waiting_since.load(Relaxed) != NOT
    }

    /// How long the client was waited for until `now`, in all.
    pub(super) fn awaited(&self, now: Duration) -> Duration {
        let waiting = self.waiting_since().map(|since| now.saturating_sub(since));
        Duration::from_nanos(self.awaited.load(Relaxed)) + waiting.unwrap_or_default()
    }

    fn waiter(&self) -> MutexGuard<'_, Waiter> {
        self.waiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often somebody has waited.
    pub(super) fn polls(&self) -> u64 {
        self.waiter().polls
    }

    /// Wakes the task that waits; `cx` is woken once that waits again. Returns [`polls`](Self::polls) before.
    pub(super) fn ask(&self, cx: &Context<'_>) -> u64 {
        let mut waiter = self.waiter();
        waiter.asker = Some(cx.waker().clone());
        let (polls, task) = (waiter.polls, waiter.task.take());
        drop(waiter);
        if let Some(task) = task {
            task.wake();
        }
        polls
    }

    /// Forgets a wait that nobody has come back for since `polls`.
    pub(super) fn give_up(&self, polls: u64) {
        let mut waiter = self.waiter();
        if waiter.polls == polls && self.is_stuck() {
            self.waiting_since.store(GIVEN_UP, Relaxed);
        }
        waiter.asker = None;
    }

    /// Notes how an attempt went: that it has to wait, or how many bytes went.
    #[inline]
    pub(super) fn note(&self, cx: &Context<'_>, began: Instant, is_pending: bool, n: usize) {
        if is_pending {
            if self.notes.waits || self.notes.first_wait && self.bytes() == 0 {
                self.wait(cx, began);
            }
            return;
        }
        if self.is_stuck() {
            self.end_wait(began);
        }
        if n > 0 {
            self.bytes.store(self.bytes() + n as u64, Relaxed);
            if self.notes.last {
                self.last.store(nanos_since(began), Relaxed);
            }
        }
    }

    fn end_wait(&self, began: Instant) {
        let since = self.waiting_since.load(Relaxed);
        self.waiting_since.store(NOT, Relaxed);
        if self.notes.awaited && since != GIVEN_UP {
            let awaited = self.awaited.load(Relaxed) + nanos_since(began).saturating_sub(since);
            self.awaited.store(awaited, Relaxed);
        }
    }

    fn wait(&self, cx: &Context<'_>, began: Instant) {
        let mut waiter = self.waiter();
        if self.waiting_since().is_none() {
            self.waiting_since.store(nanos_since(began), Relaxed);
        }
        waiter.polls += 1;
        match &mut waiter.task {
            Some(task) => task.clone_from(cx.waker()),
            None => waiter.task = Some(cx.waker().clone()),
        }
        let asker = waiter.asker.take();
        drop(waiter);
        if let Some(asker) = asker {
            asker.wake();
        }
    }
}
