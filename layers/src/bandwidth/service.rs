//! The service of bandwidth limits.

use super::{BandwidthFuture, BandwidthIo, BandwidthLimits, Quota, quota::Spent};
use crate::client::ip_of;
use reagent::{BoxError, Connection, IoStream};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of a [`BandwidthLayer`](super::BandwidthLayer). It is ready when the inner service
/// is.
#[derive(Clone, Debug)]
pub struct Bandwidth<S> {
    inner: S,
    limits: BandwidthLimits,
}

impl<S> Bandwidth<S> {
    pub(super) fn new(inner: S, limits: BandwidthLimits) -> Self {
        Bandwidth { inner, limits }
    }
}

impl<S, Io> Service<Connection<Io>> for Bandwidth<S>
where
    S: Service<Connection<BandwidthIo<Io>>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BandwidthFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let (ip, handle) = (ip_of(&conn), conn.handle());
        let quota = self.limits.shared.quota();
        let spent = (quota != Quota::NONE).then(|| Arc::new(Spent::new(quota)));
        let conn = conn
            .map_io_passthrough(|io| BandwidthIo::new(io, &self.limits, handle, ip, spent.clone()));
        BandwidthFuture::new(self.inner.call(conn), spent)
    }
}
