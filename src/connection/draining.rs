//! Waiting for the word to finish.

use super::ConnectionHandle;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The future of [`Connection::draining`] and [`ConnectionHandle::draining`].
pub struct Draining(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Draining {
    pub(super) fn new(handle: ConnectionHandle) -> Self {
        Draining(Box::pin(async move {
            loop {
                let changed = handle.entry.changed.notified();
                if handle.is_draining() {
                    return;
                }
                changed.await;
            }
        }))
    }
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draining")
    }
}
