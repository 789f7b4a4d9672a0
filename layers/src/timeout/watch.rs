//! The limits of one connection, and when to check them.

use super::{
    AGE, FIRST_BYTE, IDLE, RATE, READ, WRITE,
    ask::Ask,
    io::Activity,
    layer::{Age, Limits},
};
use crate::time::FAR;
use reagent::ConnectionHandle;
use std::{sync::Arc, task::Context, time::Duration};
use tokio::time::Instant;

/// The limits of one connection and their state. Durations are measured from its start.
pub(super) struct Watch {
    /// The next time to check for limits that are exceeded.
    pub(super) look_at: Instant,
    pub(super) activity: Arc<Activity>,
    limits: Arc<Limits>,
    handle: ConnectionHandle,
    /// The part of the limit on the first byte that outer upgrades have not used up.
    first_byte: Option<Duration>,
    reading: Ask,
    writing: Ask,
    /// When the connection is drained because of its age, and when it is ended if it is still open
    /// then.
    old_at: Duration,
    ended_at: Duration,
    window: Window,
    /// Whether a dry run has spared the connection.
    pub(super) is_spared: bool,
}

/// The current window of the minimum rate: its end, and the totals at its start.
struct Window {
    end: Duration,
    bytes: u64,
    awaited: Duration,
}

impl Watch {
    pub(super) fn new(
        activity: Arc<Activity>,
        limits: Arc<Limits>,
        handle: ConnectionHandle,
    ) -> Self {
        let old_at = limits.age.map_or(FAR, |Age { age, jitter, .. }| {
            age.saturating_add(jitter.mul_f64(fastrand::f64())).min(FAR)
        });
        let first_byte = limits.first_byte.map(|limit| handle.opening_left(limit));
        let window = limits.rate.map_or(FAR, |rate| rate.window);
        // No limit can be exceeded before the shortest of them has passed.
        let soonest = [first_byte, limits.read, limits.write, limits.idle]
            .into_iter()
            .flatten()
            .fold(window.min(old_at).min(FAR), Duration::min);
        Watch {
            look_at: activity.began + soonest,
            reading: Ask::default(),
            writing: Ask::default(),
            old_at,
            ended_at: FAR,
            window: Window {
                end: window,
                bytes: 0,
                awaited: Duration::ZERO,
            },
            is_spared: false,
            first_byte,
            activity,
            limits,
            handle,
        }
    }

    /// Returns whether a task has answered, so that there is something to check before the next
    /// regular time.
    pub(super) fn is_answered(&self) -> bool {
        self.reading.is_answered(&self.activity.read)
            || self.writing.is_answered(&self.activity.written)
    }

    /// Returns the limit that is exceeded now, if any, and schedules the next check.
    pub(super) fn look(&mut self, now: Duration, cx: &Context<'_>) -> Option<&'static str> {
        let exceeded = self.exceeded(now, cx);
        self.reading.settle(&self.activity.read);
        self.writing.settle(&self.activity.written);
        // A wait that began in between has its whole limit ahead.
        self.look_at = self.activity.began + self.next(now);
        exceeded
    }

    fn exceeded(&mut self, now: Duration, cx: &Context<'_>) -> Option<&'static str> {
        let (read, written) = (&self.activity.read, &self.activity.written);
        let is_over = |since: Option<Duration>, limit: Option<Duration>| {
            since
                .zip(limit)
                .is_some_and(|(since, limit)| now >= since.saturating_add(limit))
        };
        let first_byte = self.first_byte.filter(|_| read.bytes() == 0);
        for (kind, limit) in [(FIRST_BYTE, first_byte), (READ, self.limits.read)] {
            let is_over = is_over(read.waiting_since(), limit);
            if is_over && self.reading.is_real(read, now, cx) == Some(true) {
                return Some(kind);
            }
        }
        let is_stalled = is_over(written.waiting_since(), self.limits.write);
        if is_stalled && self.writing.is_real(written, now, cx) == Some(true) {
            return Some(WRITE);
        }
        if is_over(Some(read.last().max(written.last())), self.limits.idle) {
            return Some(IDLE);
        }
        if self.is_slow(now, cx) {
            return Some(RATE);
        }
        if now >= self.ended_at {
            return Some(AGE);
        }
        if let (Some(age), true) = (self.limits.age, now >= self.old_at) {
            self.old_at = FAR;
            if self.spares(AGE) {
                return None;
            }
            self.ended_at = now.saturating_add(age.grace);
            self.handle.drain();
        }
        None
    }

    /// Returns whether fewer bytes were transferred in the window than required for the time spent
    /// waiting for the client.
    fn is_slow(&mut self, now: Duration, cx: &Context<'_>) -> bool {
        let Some(rate) = self.limits.rate.filter(|_| now >= self.window.end) else {
            return false;
        };
        let (read, written) = (&self.activity.read, &self.activity.written);
        let bytes = read.bytes() + written.bytes();
        let awaited = read.awaited(now) + written.awaited(now);
        let waited = awaited.saturating_sub(self.window.awaited).min(rate.window);
        let least = rate.bytes_per_second as f64 * waited.as_secs_f64();
        if ((bytes - self.window.bytes) as f64) < least {
            let answers = [
                self.reading.is_real(read, now, cx),
                self.writing.is_real(written, now, cx),
            ];
            if answers.contains(&Some(true)) {
                return true;
            }
            if self.reading.is_open() || self.writing.is_open() {
                return false;
            }
        }
        self.window = Window {
            end: now.saturating_add(rate.window),
            bytes,
            awaited: read.awaited(now) + written.awaited(now),
        };
        false
    }

    /// Returns whether a dry run spares the connection, which has exceeded a limit.
    pub(super) fn spares(&mut self, kind: &'static str) -> bool {
        self.is_spared = self.limits.dry_run.spares(&self.handle, "timeout", kind);
        self.is_spared
    }

    /// Ends the connection's stream as well as its handler, whose future is dropped.
    ///
    /// If the handler has moved the stream into another task, that task would not notice otherwise.
    /// If the client does not accept what was written, the connection is reset: after an orderly
    /// close, the operating system would keep those bytes for as long as the client refuses them,
    /// outside of any limit.
    pub(super) fn let_go(&self) {
        self.handle.abort();
        if self.activity.written.is_stuck() {
            self.handle.reset_on_close();
        }
    }

    /// Returns when to check again: the first time at which a limit may be exceeded, as far as is
    /// known now. Whatever happens until then can only postpone it.
    fn next(&self, now: Duration) -> Duration {
        let (read, written) = (&self.activity.read, &self.activity.written);
        let after = |since: Option<Duration>, limit: Option<Duration>| {
            limit.map_or(FAR, |limit| since.unwrap_or(now).saturating_add(limit))
        };
        let first_byte = self.first_byte.filter(|_| read.bytes() == 0);
        let reading = match self.reading.is_open() {
            true => self.reading.until(),
            false => after(read.waiting_since(), first_byte)
                .min(after(read.waiting_since(), self.limits.read)),
        };
        let writing = match self.writing.is_open() {
            true => self.writing.until(),
            false => after(written.waiting_since(), self.limits.write),
        };
        // While an answer is awaited, the end of the window has already passed.
        let is_asking = self.reading.is_open() || self.writing.is_open();
        let window = match is_asking && self.window.end <= now {
            true => FAR,
            false => self.window.end,
        };
        reading
            .min(writing)
            .min(after(
                Some(read.last().max(written.last())),
                self.limits.idle,
            ))
            .min(window)
            .min(self.old_at)
            .min(self.ended_at)
            .min(FAR)
    }
}
