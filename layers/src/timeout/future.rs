//! One timer for all limits of a connection.

use super::{Age, Limits, activity::Activity};
use crate::time::{DeadlineTimer, FAR};
use pin_project_lite::pin_project;
use reagent::{BoxError, ConnectionHandle, TimedOut};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

pin_project! {
    /// The future of a [`Timeouts`](super::Timeouts).
    pub struct TimeoutsFuture<F> {
        #[pin]
        inner: F,
        #[pin]
        timer: DeadlineTimer,
        watch: Watch,
    }
}

struct Watch {
    /// When to look for limits that are exceeded.
    look_at: Duration,
    activity: Arc<Activity>,
    limits: Arc<Limits>,
    handle: ConnectionHandle,
    /// When it is told to finish, and when that was not heard.
    old_at: Duration,
    ended_at: Duration,
    /// The window of the least rate: its end, and what had gone when it began.
    window_end: Duration,
    window_bytes: u64,
}

impl<F> TimeoutsFuture<F> {
    pub(super) fn new(
        inner: F,
        activity: Arc<Activity>,
        limits: Arc<Limits>,
        handle: ConnectionHandle,
    ) -> Self {
        let old_at = limits.age.map_or(FAR, |Age { age, jitter, .. }| {
            age.saturating_add(jitter.mul_f64(fastrand::f64())).min(FAR)
        });
        let mut watch = Watch {
            look_at: Duration::ZERO,
            old_at,
            ended_at: FAR,
            window_end: limits.rate.map_or(FAR, |rate| rate.window),
            window_bytes: 0,
            activity,
            limits,
            handle,
        };
        watch.look_at = watch.next(Duration::ZERO);
        TimeoutsFuture {
            inner,
            timer: DeadlineTimer::new(),
            watch,
        }
    }
}

impl<F, T, E> Future for TimeoutsFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result.map_err(Into::into));
        }
        loop {
            let look_at = this.watch.activity.began + this.watch.look_at;
            ready!(this.timer.as_mut().poll(cx, look_at));
            let now = this.watch.activity.began.elapsed();
            if let Some(kind) = this.watch.exceeded(now) {
                this.watch.let_go();
                return Poll::Ready(Err(TimedOut::new(kind).into()));
            }
            // A wait that began in between has its limit still before it.
            this.watch.look_at = this.watch.next(now);
        }
    }
}

impl Watch {
    /// Which limit is exceeded now.
    fn exceeded(&mut self, now: Duration) -> Option<&'static str> {
        let Watch {
            activity, limits, ..
        } = self;
        let (read, written) = (&activity.read, &activity.written);
        let over = |since: Option<Duration>, limit: Option<Duration>| {
            since
                .zip(limit)
                .is_some_and(|(since, limit)| now >= since.saturating_add(limit))
        };
        let unheard = (read.bytes() == 0).then_some(Duration::ZERO);
        if over(unheard, limits.first_byte) {
            return Some("first byte");
        }
        if over(read.waiting_since(), limits.read) {
            return Some("read");
        }
        if over(written.waiting_since(), limits.write) {
            return Some("write");
        }
        if over(Some(read.last().max(written.last())), limits.idle) {
            return Some("idle");
        }
        if let (Some(rate), true) = (limits.rate, now >= self.window_end) {
            let bytes = read.bytes() + written.bytes();
            let least = rate.bytes_per_second as f64 * rate.window.as_secs_f64();
            if ((bytes - self.window_bytes) as f64) < least {
                return Some("rate");
            }
            self.window_bytes = bytes;
            self.window_end = now.saturating_add(rate.window);
        }
        if now >= self.ended_at {
            return Some("age");
        }
        if let (Some(age), true) = (limits.age, now >= self.old_at) {
            self.old_at = FAR;
            self.ended_at = now.saturating_add(age.grace);
            self.handle.drain();
        }
        None
    }

    /// A client that does not take what was written would leave it with the system after an orderly close, for
    /// as long as it likes and counted by no limit.
    fn let_go(&self) {
        if self.activity.written.waiting_since().is_some() {
            self.handle.reset_on_close();
        }
    }

    /// When to look again: at the first time at which a limit may be exceeded, counted from what is known
    /// now. What happens until then can only put it off.
    fn next(&self, now: Duration) -> Duration {
        let Watch {
            activity, limits, ..
        } = self;
        let (read, written) = (&activity.read, &activity.written);
        let after = |since: Option<Duration>, limit: Option<Duration>| {
            limit.map_or(FAR, |limit| since.unwrap_or(now).saturating_add(limit))
        };
        let first_byte = match read.bytes() {
            0 => after(Some(Duration::ZERO), limits.first_byte),
            _ => FAR,
        };
        first_byte
            .min(after(read.waiting_since(), limits.read))
            .min(after(written.waiting_since(), limits.write))
            .min(after(Some(read.last().max(written.last())), limits.idle))
            .min(self.window_end)
            .min(self.old_at)
            .min(self.ended_at)
            .min(FAR)
    }
}

impl<F> fmt::Debug for TimeoutsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeoutsFuture")
    }
}
