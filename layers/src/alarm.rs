//! A timer that is rarely looked at.

use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// Tokio's timer, which is asked only once it has fired or whoever polls it is another: a look at it is a tenth of
    /// what polling costs, and a connection polls its timers whenever something happens to it.
    pub(crate) struct Alarm {
        #[pin]
        sleep: Sleep,
        // Who is woken by it.
        waker: Option<Waker>,
    }
}

impl Alarm {
    pub(crate) fn at(instant: Instant) -> Self {
        Alarm {
            sleep: sleep_until(instant),
            waker: None,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.sleep.deadline()
    }

    pub(crate) fn reset(self: Pin<&mut Self>, instant: Instant) {
        self.project().sleep.reset(instant);
    }

    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let is_known = |waker: &Waker| waker.will_wake(cx.waker());
        if this.waker.as_ref().is_some_and(is_known) && !this.sleep.is_elapsed() {
            return Poll::Pending;
        }
        *this.waker = None;
        let polled = this.sleep.poll(cx);
        if polled.is_pending() {
            *this.waker = Some(cx.waker().clone());
        }
        ready!(polled);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_fires_whenever_it_is_set_and_whoever_polls_it() {
        let began = Instant::now();
        let mut alarm = Box::pin(Alarm::at(began + SECOND));
        poll_fn(|cx| alarm.as_mut().poll(cx)).await;
        assert_eq!(began.elapsed(), SECOND);
        // Fired, and set anew.
        alarm.as_mut().reset(began + 2 * SECOND);
        poll_fn(|cx| alarm.as_mut().poll(cx)).await;
        assert_eq!(began.elapsed(), 2 * SECOND);
        // Set anew while somebody waits, earlier and later.
        alarm.as_mut().reset(began + 9 * SECOND);
        let mut noop = Context::from_waker(Waker::noop());
        assert!(alarm.as_mut().poll(&mut noop).is_pending());
        alarm.as_mut().reset(began + 3 * SECOND);
        assert!(alarm.as_mut().poll(&mut noop).is_pending());
        poll_fn(|cx| alarm.as_mut().poll(cx)).await;
        assert_eq!(began.elapsed(), 3 * SECOND);
        // Others are woken than who was.
        alarm.as_mut().reset(began + 4 * SECOND);
        assert!(alarm.as_mut().poll(&mut noop).is_pending());
        let task = poll_fn(|cx| alarm.as_mut().poll(cx));
        tokio::time::timeout(10 * SECOND, task).await.unwrap();
        assert_eq!(began.elapsed(), 4 * SECOND);
    }
}
