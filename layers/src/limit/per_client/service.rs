//! The service that limits connections by client.

use super::{
    CLIENT_CONNECTIONS, PerClient, PerClientFuture,
    wait::{self, InLine},
};
use crate::{client::ip_of, refusal::LimitFuture};
use reagent::{BoxError, Connection, IoStream, UpgradeLayer};
use std::{
    mem,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// The service of a [`PerClientLayer`](super::PerClientLayer). It is ready when the inner service
/// is.
#[derive(Clone, Debug)]
pub struct PerClientService<S> {
    inner: S,
    limit: PerClient,
}

impl<S> PerClientService<S> {
    pub(super) fn new(inner: S, limit: PerClient) -> Self {
        PerClientService { inner, limit }
    }
}

impl<S, Io> Service<Connection<Io>> for PerClientService<S>
where
    S: Service<Connection<Io>> + Clone,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = PerClientFuture<S, Io>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        if let Some(ip) = ip_of(&conn) {
            match self.limit.enter(ip) {
                Some(place) => conn.keep(place),
                None if self.limit.dry_run.is_on() => {
                    let waiting = wait::in_dry_run(&self.limit, &conn, ip);
                    return PerClientFuture::spared(self.inner.call(conn), waiting);
                }
                None if self.limit.wait.is_some() => {
                    // The service that was polled ready is the one to call: it goes with the
                    // connection.
                    let next = self.inner.clone();
                    let inner = mem::replace(&mut self.inner, next);
                    let layer = UpgradeLayer::new(InLine(self.limit.clone())).timeout(None);
                    return PerClientFuture::waiting(layer.layer(inner).call(conn));
                }
                None => {
                    let refusal = self.limit.how();
                    let refusing = LimitFuture::refusing(refusal, conn, CLIENT_CONNECTIONS);
                    return PerClientFuture::decided(refusing);
                }
            }
        }
        PerClientFuture::decided(LimitFuture::serving(self.inner.call(conn), None))
    }
}
