//! One timer for all the deadlines of a connection.

use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// A timer for a deadline that moves more often than it passes.
    ///
    /// It is registered with the runtime at the first poll. If it would fire too early, it is left
    /// alone and moved only when it fires. Tokio's timer is polled only once it has fired or if
    /// another task is polling: reading its state costs a tenth of polling it, and a connection
    /// polls its timer whenever something happens to it.
    pub(crate) struct DeadlineTimer {
        #[pin]
        sleep: Option<Sleep>,
        // The task that the timer wakes.
        waker: Option<Waker>,
    }
}

impl DeadlineTimer {
    pub(crate) const fn new() -> Self {
        DeadlineTimer {
            sleep: None,
            waker: None,
        }
    }

    /// Returns ready if `deadline` has passed. Otherwise the task is woken no later than at the
    /// deadline.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut this = self.project();
        loop {
            let Some(mut sleep) = this.sleep.as_mut().as_pin_mut() else {
                this.sleep.set(Some(sleep_until(deadline)));
                continue;
            };
            let has_fired = sleep.is_elapsed();
            if has_fired || sleep.deadline() > deadline {
                if has_fired && sleep.deadline() >= deadline || Instant::now() >= deadline {
                    return Poll::Ready(());
                }
                sleep.as_mut().reset(deadline);
                *this.waker = None;
            }
            let is_known = |waker: &Waker| waker.will_wake(cx.waker());
            if this.waker.as_ref().is_some_and(is_known) {
                return Poll::Pending;
            }
            if sleep.poll(cx).is_pending() {
                *this.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_fires_at_whatever_deadline_and_for_whoever_polls_it() {
        let began = Instant::now();
        let mut timer = Box::pin(DeadlineTimer::new());
        poll_fn(|cx| timer.as_mut().poll(cx, began + SECOND)).await;
        assert_eq!(began.elapsed(), SECOND);
        // The timer has fired, and gets another deadline.
        poll_fn(|cx| timer.as_mut().poll(cx, began + 2 * SECOND)).await;
        assert_eq!(began.elapsed(), 2 * SECOND);
        // The deadline moves while a task waits: later, and then earlier.
        let mut noop = Context::from_waker(Waker::noop());
        let mut poll_at = |at| timer.as_mut().poll(&mut noop, at);
        assert!(poll_at(began + 9 * SECOND).is_pending());
        assert!(poll_at(began + 3 * SECOND).is_pending());
        assert!(poll_at(began + 5 * SECOND).is_pending());
        poll_fn(|cx| timer.as_mut().poll(cx, began + 4 * SECOND)).await;
        assert_eq!(began.elapsed(), 4 * SECOND);
        // A task other than the last one is woken.
        let mut poll_at = |at| timer.as_mut().poll(&mut noop, at);
        assert!(poll_at(began + 5 * SECOND).is_pending());
        let task = poll_fn(|cx| timer.as_mut().poll(cx, began + 5 * SECOND));
        tokio::time::timeout(10 * SECOND, task).await.unwrap();
        assert_eq!(began.elapsed(), 5 * SECOND);
        // A deadline that has already passed.
        let mut poll_at = |at| timer.as_mut().poll(&mut noop, at);
        assert!(poll_at(began + SECOND).is_ready());
        assert!(poll_at(began + 6 * SECOND).is_pending());
    }
}
