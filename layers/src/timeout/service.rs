//! The service.

use super::{TimedIo, TimeoutsFuture, io::Activity, layer::Limits, watch::Watch};
use reagent::{BoxError, Connection, IoStream};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of a [`TimeoutsLayer`](super::TimeoutsLayer). It is ready when the inner service is.
#[derive(Clone, Debug)]
pub struct Timeouts<S> {
    inner: S,
    limits: Arc<Limits>,
}

impl<S> Timeouts<S> {
    pub(super) fn new(inner: S, limits: Arc<Limits>) -> Self {
        Timeouts { inner, limits }
    }
}

impl<S, Io> Service<Connection<Io>> for Timeouts<S>
where
    S: Service<Connection<TimedIo<Io>>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = TimeoutsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let activity = Arc::new(Activity::new(&self.limits));
        let handle = conn.handle();
        let conn = conn.map_io_passthrough(|io| TimedIo::new(io, activity.clone()));
        let watch = Watch::new(activity, self.limits.clone(), handle);
        TimeoutsFuture::new(self.inner.call(conn), watch)
    }
}
