//! The future of a connection that may come through a proxy.

use super::{PrefixedIo, REJECTED};
use reagent::{BoxError, Connection, Rejected, UpgradeFuture};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower_service::Service;

/// The future of a [`ProxyProtocol`](super::ProxyProtocol) service.
#[must_use = "futures do nothing unless they are polled"]
pub struct ProxyProtocolFuture<S, Io>
where
    S: Service<Connection<PrefixedIo<Io>>>,
{
    state: State<S, Io>,
}

enum State<S, Io>
where
    S: Service<Connection<PrefixedIo<Io>>>,
{
    Upgrading {
        upgrading: UpgradeFuture<S, PrefixedIo<Io>>,
    },
    // Boxed. The upgrade boxes it as well, so without a box this variant would leave that much
    // space unused in an upgrade.
    Serving {
        serving: Pin<Box<S::Future>>,
    },
    Refused,
}

impl<S, Io> ProxyProtocolFuture<S, Io>
where
    S: Service<Connection<PrefixedIo<Io>>>,
{
    pub(super) fn upgrading(upgrading: UpgradeFuture<S, PrefixedIo<Io>>) -> Self {
        let state = State::Upgrading { upgrading };
        ProxyProtocolFuture { state }
    }

    pub(super) fn serving(serving: S::Future) -> Self {
        let serving = Box::pin(serving);
        let state = State::Serving { serving };
        ProxyProtocolFuture { state }
    }

    pub(super) fn refused() -> Self {
        let state = State::Refused;
        ProxyProtocolFuture { state }
    }
}

impl<S, Io> Future for ProxyProtocolFuture<S, Io>
where
    S: Service<Connection<PrefixedIo<Io>>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Upgrading { upgrading } => Pin::new(upgrading).poll(cx),
            State::Serving { serving } => serving.as_mut().poll(cx).map_err(Into::into),
            State::Refused => Poll::Ready(Err(Rejected::new(REJECTED).into())),
        }
    }
}

impl<S, Io> fmt::Debug for ProxyProtocolFuture<S, Io>
where
    S: Service<Connection<PrefixedIo<Io>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyProtocolFuture")
    }
}
