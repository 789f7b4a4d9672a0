//! The service that limits the rate of each client.

use super::{CLIENT_RATE, PerClientRate};
use crate::{client::ip_of, refusal::LimitFuture};
use reagent::{BoxError, Connection, IoStream};
use std::task::{Context, Poll};
use tower_service::Service;

/// The service of a [`PerClientRateLayer`](super::PerClientRateLayer). It is ready when the inner
/// service is.
#[derive(Clone, Debug)]
pub struct PerClientRateService<S> {
    inner: S,
    rate: PerClientRate,
}

impl<S> PerClientRateService<S> {
    pub(super) fn new(inner: S, rate: PerClientRate) -> Self {
        PerClientRateService { inner, rate }
    }
}

impl<S, Io> Service<Connection<Io>> for PerClientRateService<S>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = LimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        match ip_of(&conn) {
            Some(ip) if !self.rate.admits(ip) && !self.rate.spares(conn.as_ref()) => {
                LimitFuture::refusing(self.rate.how(), conn, CLIENT_RATE)
            }
            _ => LimitFuture::serving(self.inner.call(conn), None),
        }
    }
}
