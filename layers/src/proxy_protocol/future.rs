//! The future of a connection behind a proxy.

use super::{PrefixedIo, REJECTED};
use pin_project_lite::pin_project;
use reagent::{BoxError, Connection, Rejected, UpgradeFuture};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower_service::Service;

pin_project! {
    /// The future of a [`ProxyProtocol`](super::ProxyProtocol).
    pub struct ProxyProtocolFuture<S, Io>
    where
        S: Service<Connection<PrefixedIo<Io>>>,
    {
        #[pin]
        state: State<S, Io>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Io>
    where
        S: Service<Connection<PrefixedIo<Io>>>,
    {
        Upgrading { upgrading: UpgradeFuture<S, PrefixedIo<Io>> },
        Serving { #[pin] serving: S::Future },
        Refused,
    }
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Upgrading { upgrading } => Pin::new(upgrading).poll(cx),
            StateProj::Serving { serving } => serving.poll(cx).map_err(Into::into),
            StateProj::Refused => Poll::Ready(Err(Rejected::new(REJECTED).into())),
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
