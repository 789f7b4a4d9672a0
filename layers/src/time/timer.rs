//! One timer for all the deadlines of a connection.

use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// A timer whose deadline moves more often than it passes.
    ///
    /// It is registered with the runtime at the first poll. A timer that would fire too early is left as it is and moved
    /// only when it fires, and Tokio is asked only once it has fired or the task is another: a look at it is a tenth of
    /// what polling costs, and a connection polls its timer whenever something happens to it.
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

    /// Ready if `deadline` has passed; otherwise the task is woken no later than then.
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
        // It has fired, and has another deadline.
        poll_fn(|cx| timer.as_mut().poll(cx, began + 2 * SECOND)).await;
        assert_eq!(began.elapsed(), 2 * SECOND);
        // The deadline moves while a task waits: later, and earlier.
        let mut noop = Context::from_waker(Waker::noop());
        let mut poll_at = |at| timer.as_mut().poll(&mut noop, at);
        assert!(poll_at(began + 9 * SECOND).is_pending());
        assert!(poll_at(began + 3 * SECOND).is_pending());
        assert!(poll_at(began + 5 * SECOND).is_pending());
        poll_fn(|cx| timer.as_mut().poll(cx, began + 4 * SECOND)).await;
        assert_eq!(began.elapsed(), 4 * SECOND);
        // Another task is woken than the last.
        let mut poll_at = |at| timer.as_mut().poll(&mut noop, at);
        assert!(poll_at(began + 5 * SECOND).is_pending());
        let task = poll_fn(|cx| timer.as_mut().poll(cx, began + 5 * SECOND));
        tokio::time::timeout(10 * SECOND, task).await.unwrap();
        assert_eq!(began.elapsed(), 5 * SECOND);
        // A deadline that has passed already.
        let mut poll_at = |at| timer.as_mut().poll(&mut noop, at);
        assert!(poll_at(began + SECOND).is_ready());
        assert!(poll_at(began + 6 * SECOND).is_pending());
    }
}
