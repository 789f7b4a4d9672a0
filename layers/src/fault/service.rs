//! The service of faults.

use super::{FaultIo, FaultLayer};
use reagent::{Connection, IoStream};
use std::task::{Context, Poll};
use tower_service::Service;

/// The service of a [`FaultLayer`](super::FaultLayer). It is ready when the inner service is.
#[derive(Clone, Debug)]
pub struct FaultService<S> {
    inner: S,
    layer: FaultLayer,
}

impl<S> FaultService<S> {
    pub(super) fn new(inner: S, layer: FaultLayer) -> Self {
        FaultService { inner, layer }
    }
}

impl<S, Io> Service<Connection<Io>> for FaultService<S>
where
    S: Service<Connection<FaultIo<Io>>>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let (plan, handle) = (self.layer.plan(conn.id()), conn.handle());
        self.inner
            .call(conn.map_io(|io| FaultIo::new(io, plan, handle)))
    }
}
