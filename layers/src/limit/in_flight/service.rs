//! The service that limits the handlers in flight.

use super::{super::LAYER, IN_FLIGHT, InFlightLayer};
use crate::refusal::LimitFuture;
use reagent::{
    BoxError, Connection, IoStream,
    limit::{Acquire, Permit},
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_layer::Layer;
use tower_service::Service;

/// The service of an [`InFlightLayer`].
///
/// It is ready when another handler may run and the inner service is ready. With
/// [`shed`](InFlightLayer::shed), it is ready when the inner service is.
#[derive(Debug)]
pub struct InFlight<S> {
    inner: S,
    layer: InFlightLayer,
    acquiring: Option<Acquire>,
    permit: Option<Permit>,
}

impl<S> InFlight<S> {
    pub(super) fn new(inner: S, layer: InFlightLayer) -> Self {
        InFlight {
            inner,
            layer,
            acquiring: None,
            permit: None,
        }
    }
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
    type Future = LimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.permit.is_none() && self.layer.waits() {
            let acquiring = self
                .acquiring
                .get_or_insert_with(|| self.layer.limit.acquire());
            self.permit = Some(ready!(Pin::new(acquiring).poll(cx)));
        }
        // A dry run gives up the turn of a wait.
        self.acquiring = None;
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let InFlightLayer {
            limit,
            shed,
            dry_run,
        } = &self.layer;
        let permit = self.permit.take().or_else(|| limit.try_acquire());
        if permit.is_none() && !dry_run.spares(conn.as_ref(), LAYER, IN_FLIGHT) {
            if let Some(refusal) = shed {
                return LimitFuture::refusing(refusal, conn, IN_FLIGHT);
            }
        }
        LimitFuture::serving(self.inner.call(conn), permit)
    }
}
