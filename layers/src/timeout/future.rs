//! The future, with one timer for all limits of a connection.

use super::watch::Watch;
use crate::time::DeadlineTimer;
use pin_project_lite::pin_project;
use reagent::{BoxError, TimedOut};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// The future of a [`Timeouts`](super::Timeouts) service.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct TimeoutsFuture<F> {
        #[pin]
        inner: F,
        #[pin]
        timer: DeadlineTimer,
        watch: Watch,
    }
}

impl<F> TimeoutsFuture<F> {
    pub(super) fn new(inner: F, watch: Watch) -> Self {
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
        while !this.watch.is_spared {
            if !this.watch.is_answered() {
                ready!(this.timer.as_mut().poll(cx, this.watch.look_at));
            }
            let now = this.watch.activity.began.elapsed();
            match this.watch.look(now, cx) {
                Some(kind) if !this.watch.spares(kind) => {
                    this.watch.let_go();
                    return Poll::Ready(Err(TimedOut::new(kind).into()));
                }
                _ => {}
            }
        }
        Poll::Pending
    }
}

impl<F> fmt::Debug for TimeoutsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeoutsFuture")
    }
}
