//! The time that a client may take to open its connection, over all steps.

use super::ConnectionHandle;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// The default of [`Server::opening_timeout`](crate::Server::opening_timeout): as long as hyper gives
/// a client to send its first head. PROXY headers and handshakes are included.
pub(crate) const OPENING_TIMEOUT: Duration = Duration::from_secs(30);

/// The shortest wait that counts. Recording shorter ones would cost a prompt client an allocation.
const WORTH_NOTING: Duration = Duration::from_millis(100);

impl ConnectionHandle {
    /// Returns the time that the client may take for a step of its opening whose own limit is
    /// `limit`. Such a step is a header, a handshake or the first request.
    ///
    /// It is `limit`, or less if the steps so far have left less of
    /// [`Server::opening_timeout`](crate::Server::opening_timeout). If a step has a limit above
    /// that timeout, the longest such limit takes its place.
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

    /// Waits for a step of the opening, for as long as [`opening_left`](Self::opening_left) allows
    /// with this limit, and deducts the time it took from what is left for the next steps.
    ///
    /// Returns `None` if the time ran out. A step without a limit is waited for as long as it
    /// takes, and nothing is deducted for it.
    ///
    /// [`UpgradeLayer`](crate::UpgradeLayer) calls this for every upgrade that has a time limit.
    /// Call it yourself in an upgrade that enforces its own limit because it goes on after the
    /// step. A step that is ready at once needs no timer.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the step is polled by reference and can be polled again. The time of the
    /// cancelled wait is not deducted.
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
