//! The future of a start.

use super::ServerHandle;
use crate::error::Error;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The future of [`Server::start`](crate::Server::start) and
/// [`Server::start_make`](crate::Server::start_make). It resolves once the server accepts
/// connections.
///
/// Its type does not depend on the service and the layers, so that the compiler reports an error in
/// them once.
///
/// # Cancel safety
///
/// Cancel safe: a start that is dropped leaves nothing behind. The exception is a
/// [hand-over](crate::Server::handover), whose last step must not be dropped.
#[must_use = "a server does not start until its future is polled"]
pub struct Starting(Pin<Box<dyn Future<Output = Result<ServerHandle, Error>> + Send>>);

impl Starting {
    pub(super) fn new(
        starting: impl Future<Output = Result<ServerHandle, Error>> + Send + 'static,
    ) -> Self {
        Starting(Box::pin(starting))
    }
}

impl Future for Starting {
    type Output = Result<ServerHandle, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Starting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Starting")
    }
}
