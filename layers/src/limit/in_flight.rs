//! How many handlers are at work.

use super::Gated;
use crate::Refusal;
use reagent::{
    BoxError, Connection, IoStream,
    limit::{Acquire, Limit, Permit},
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;

/// Limits how many handlers are at work at once, by a [`Limit`] that can be changed and shared: by its
/// readiness, so clients wait in the kernel's queue, or by refusing those who are too many.
///
/// As [`tower::limit::ConcurrencyLimitLayer`](https://docs.rs/tower/latest/tower/limit/struct.ConcurrencyLimitLayer.html),
/// whose limit stays as it is. A handler that gives its stream away and returns is at work no more;
/// [`max_connections`](reagent::Server::max_connections) counts until the stream is closed.
#[derive(Clone, Debug)]
pub struct InFlightLayer {
    limit: Limit,
    shed: Option<Refusal>,
}

impl InFlightLayer {
    /// Lets clients wait.
    pub fn new(limit: Limit) -> Self {
        InFlightLayer { limit, shed: None }
    }

    /// Refuses them instead.
    pub fn shed(mut self, refusal: Refusal) -> Self {
        self.shed = Some(refusal);
        self
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlight<S>;

    fn layer(&self, inner: S) -> InFlight<S> {
        InFlight {
            inner,
            layer: self.clone(),
            acquiring: None,
            permit: None,
        }
    }
}

/// The service of an [`InFlightLayer`].
#[derive(Debug)]
pub struct InFlight<S> {
    inner: S,
    layer: InFlightLayer,
    acquiring: Option<Acquire>,
    permit: Option<Permit>,
}

impl<S: Clone> Clone for InFlight<S> {
    fn clone(&self) -> Self {
        self.layer.layer(self.inner.clone())
    }
}

impl<S, Io> Service<Connection<Io>> for InFlight<S>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Gated<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.layer.shed.is_none() && self.permit.is_none() {
            let acquiring = self
                .acquiring
                .get_or_insert_with(|| self.layer.limit.acquire());
            self.permit = Some(ready!(Pin::new(acquiring).poll(cx)));
            self.acquiring = None;
        }
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let mut permit = self.permit.take();
        if let Some(refusal) = &self.layer.shed {
            permit = self.layer.limit.try_acquire();
            if permit.is_none() {
                let refusal = refusal.clone();
                return Gated::refusing(async move { refusal.refuse(conn, "in flight").await });
            }
        }
        Gated::serving(self.inner.call(conn), permit)
    }
}
