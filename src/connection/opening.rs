//! The time that a client may take to open its connection, over all steps of it.

use super::ConnectionHandle;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// What is taken off the time for the opening. To note less would cost a prompt client an allocation.
const WORTH_NOTING: Duration = Duration::from_millis(100);

impl ConnectionHandle {
    /// Returns how long the client may take for a step of its opening (a header, a handshake, a first
    /// request) whose own limit is `limit`: no more than is left of
    /// [`Server::opening_timeout`](crate::Server::opening_timeout), or of the longest limit of a step
    /// where that is longer, after the steps so far.
    pub fn opening_left(&self, limit: Duration) -> Duration {
        let Some(timeout) = self.entry.registry().opening_timeout else {
            return limit;
        };
        let cold = self.entry.cold();
        let (longest, spent) = cold
            .rare
            .as_ref()
            .map_or_else(Default::default, |rare| rare.opening);
        let left = timeout.max(longest).max(limit).saturating_sub(spent);
        left.min(limit)
    }

    /// Waits for a step of the opening, for no longer than is [left](Self::opening_left) for one with this
    /// limit, and takes its time off what is left for the next. Returns `None` if the time was up; a step
    /// without a limit is waited for as long as it takes, and takes nothing from others.
    ///
    /// [`UpgradeLayer`](crate::UpgradeLayer) does this for every upgrade with a limit. It is for upgrades
    /// that keep a limit of their own, since they go on after it. A step that is ready at once costs no
    /// timer.
    ///
    /// # Cancel safety
    ///
    /// As that of the step, which is polled and not consumed.
    pub async fn within_opening<F: Future>(
        &self,
        limit: Option<Duration>,
        mut step: Pin<&mut F>,
    ) -> Option<F::Output> {
        match poll_fn(|cx| Poll::Ready(step.as_mut().poll(cx))).await {
            Poll::Ready(done) => Some(done),
            Poll::Pending => self.wait_within_opening(limit, step).await,
        }
    }

    pub(crate) async fn wait_within_opening<F: Future>(
        &self,
        limit: Option<Duration>,
        step: Pin<&mut F>,
    ) -> Option<F::Output> {
        let Some(limit) = limit else {
            return Some(step.await);
        };
        let began = Instant::now();
        let done = timeout(self.opening_left(limit), step).await.ok()?;
        let spent = began.elapsed();
        if spent >= WORTH_NOTING {
            let mut cold = self.entry.cold();
            let (longest, sum) = &mut cold.rare().opening;
            *longest = limit.max(*longest);
            *sum += spent;
        }
        Some(done)
    }
}
