//! The activity in one direction of a stream.

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

/// Nothing is waiting.
const NOT: u64 = 0;

/// The last attempt had to wait, and its task did not come back for it.
const GIVEN_UP: u64 = u64::MAX;

/// Selects what is recorded for a direction. Only what a limit needs is recorded, since most of the
/// cost is reading the clock.
#[derive(Clone, Copy, Debug)]
struct Notes {
    last: bool,
    waits: bool,
    /// Records waits for the first byte.
    first_wait: bool,
    awaited: bool,
}

/// The activity in one direction. Times are in nanoseconds since the start of the connection.
#[derive(Debug)]
pub(super) struct Flow {
    notes: Notes,
    bytes: AtomicU64,
    last: AtomicU64,
    waiting_since: AtomicU64,
    awaited: AtomicU64,
    waiter: Mutex<Waiter>,
}

/// The task that waits, and the task that asked whether it still does.
#[derive(Debug, Default)]
struct Waiter {
    polls: u64,
    task: Option<Waker>,
    asker: Option<Waker>,
}

/// Returns the nanoseconds since `began`, never [`NOT`].
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
            // Writes seldom wait, and how the connection is closed depends on whether one does.
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

    /// Returns when bytes were last transferred.
    pub(super) fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Relaxed))
    }

    /// Returns since when a task has been waiting for the client.
    pub(super) fn waiting_since(&self) -> Option<Duration> {
        match self.waiting_since.load(Relaxed) {
            NOT | GIVEN_UP => None,
            since => Some(Duration::from_nanos(since)),
        }
    }

    /// Returns whether the last attempt had to wait and no later one has succeeded.
    pub(super) fn is_stuck(&self) -> bool {
        self.waiting_since.load(Relaxed) != NOT
    }

    /// Returns the total time spent waiting for the client, up to `now`.
    pub(super) fn awaited(&self, now: Duration) -> Duration {
        let waiting = self.waiting_since().map(|since| now.saturating_sub(since));
        Duration::from_nanos(self.awaited.load(Relaxed)) + waiting.unwrap_or_default()
    }

    fn waiter(&self) -> MutexGuard<'_, Waiter> {
        self.waiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many times a poll has had to wait.
    pub(super) fn polls(&self) -> u64 {
        self.waiter().polls
    }

    /// Wakes the waiting task, and registers `cx` to be woken when it waits again. Returns the
    /// current [`polls`](Self::polls).
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

    /// Discards a wait whose task has not polled since `polls`.
    pub(super) fn give_up(&self, polls: u64) {
        let mut waiter = self.waiter();
        if waiter.polls == polls && self.is_stuck() {
            self.waiting_since.store(GIVEN_UP, Relaxed);
        }
        waiter.asker = None;
    }

    /// Records the result of an attempt: that it has to wait, or the number of bytes transferred.
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
