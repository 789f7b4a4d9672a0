//! The service that limits the accept rate.

use super::{super::LAYER, ACCEPT_RATE, AcceptRateLayer};
use crate::refusal::LimitFuture;
use reagent::{BoxError, Connection, IoStream};
use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

/// The longest sleep of an acceptor that waits: the rate may change meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The service of an [`AcceptRateLayer`].
///
/// It is ready when the rate allows a connection and the inner service is ready. With
/// [`shed`](AcceptRateLayer::shed), it is ready when the inner service is.
#[derive(Debug)]
pub struct AcceptRateService<S> {
    inner: S,
    layer: AcceptRateLayer,
    /// Whether a token is taken for the next connection.
    is_reserved: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<S> AcceptRateService<S> {
    pub(super) fn new(inner: S, layer: AcceptRateLayer) -> Self {
        AcceptRateService {
            inner,
            layer,
            is_reserved: false,
            sleep: None,
        }
    }
}

impl<S: Clone> Clone for AcceptRateService<S> {
    fn clone(&self) -> Self {
        self.layer.layer(self.inner.clone())
    }
}

impl<S> Drop for AcceptRateService<S> {
    fn drop(&mut self) {
        if self.is_reserved {
            self.layer.rate.give_back();
        }
    }
}

impl<S, Io> Service<Connection<Io>> for AcceptRateService<S>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = LimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        while !self.is_reserved && self.layer.waits() {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.layer.rate.take() {
                Ok(()) => self.is_reserved = true,
                Err(wait) => {
                    let wait = wait.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
                    self.sleep = Some(Box::pin(sleep(wait)));
                }
            }
        }
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let AcceptRateLayer {
            rate,
            shed,
            dry_run,
        } = &self.layer;
        let is_within = mem::take(&mut self.is_reserved) || rate.take().is_ok();
        if !is_within && !dry_run.spares(conn.as_ref(), LAYER, ACCEPT_RATE) {
            if let Some(refusal) = shed {
                return LimitFuture::refusing(refusal, conn, ACCEPT_RATE);
            }
        }
        LimitFuture::serving(self.inner.call(conn), None)
    }
}
