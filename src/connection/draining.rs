//! The future that resolves when a connection is asked to finish.

use super::{ConnectionHandle, entry::flag, phase::Phase};

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The future of [`Connection::draining`](crate::Connection::draining) and
/// [`ConnectionHandle::draining`].
///
/// It is fused: once it has resolved, it resolves at once whenever it is polled again. In a loop
/// around `tokio::select!`, poll it by reference, and disable its branch once it has resolved,
/// since the loop spins otherwise:
///
/// ```
/// # async fn serve(mut conn: reagent::Connection) -> std::io::Result<()> {
/// # use tokio::io::AsyncReadExt;
/// # let mut buf = [0; 1024];
/// let mut draining = conn.draining();
/// let mut is_draining = false;
/// loop {
///     tokio::select! {
///         () = &mut draining, if !is_draining => is_draining = true,
///         read = conn.read(&mut buf) => match read? {
///             0 => return Ok(()),
///             n => { /* … answer, and return if `is_draining` … */ }
///         },
///     }
/// }
/// # }
/// ```
///
/// # Cancel safety
///
/// Cancel safe: a drain is not missed by a future that is made after it.
#[must_use = "futures do nothing unless they are polled"]
pub struct Draining(Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>);

impl Draining {
    pub(super) fn of(handle: ConnectionHandle) -> Self {
        if is_told(&handle) {
            handle.entry.hears_drain();
            return Draining(None);
        }
        Draining(Some(Box::pin(async move {
            handle.until_draining().await;
            handle.entry.hears_drain();
        })))
    }
}

impl ConnectionHandle {
    /// Waits for the same as [`draining`](Self::draining), without a box. Upgrades wait for it on
    /// behalf of a handler that may not, so this does not count as hearing the drain.
    pub(crate) async fn until_draining(&self) {
        loop {
            let changed = self.entry.changed.notified();
            if is_told(self) {
                return;
            }
            changed.await;
        }
    }
}

/// A connection that is over has nothing left to wait for.
fn is_told(handle: &ConnectionHandle) -> bool {
    handle.entry.has(flag::DRAINING) || handle.phase() == Phase::Closed
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(waiting) = &mut self.0 else {
            return Poll::Ready(());
        };
        let polled = waiting.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl fmt::Debug for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draining")
            .field("is_resolved", &self.0.is_none())
            .finish()
    }
}
