//! The service.

use super::{
    Config, Mode, PrefixedIo, ProxyProtocolFuture, UNTRUSTED, Untrusted, upgrade::TakeHeader,
};
use reagent::{Addr, BoxError, Connection, IoStream, UpgradeLayer};
use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of a [`ProxyProtocolLayer`](super::ProxyProtocolLayer). It is ready when the inner
/// service is.
///
/// A connection from which no header is expected is passed to the inner service at once and does
/// not count as an upgrade.
#[derive(Clone)]
pub struct ProxyProtocol<S> {
    config: Arc<Config>,
    upgrade: UpgradeLayer<TakeHeader>,
    inner: S,
}

impl<S> ProxyProtocol<S> {
    pub(super) fn new(config: Arc<Config>, inner: S) -> Self {
        // The upgrade itself keeps the limit, since in optional mode it continues after the limit
        // has expired.
        let upgrade = UpgradeLayer::new(TakeHeader(config.clone())).timeout(None);
        ProxyProtocol {
            config,
            upgrade,
            inner,
        }
    }
}

impl<S, Io> Service<Connection<Io>> for ProxyProtocol<S>
where
    S: Service<Connection<PrefixedIo<Io>>> + Clone,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ProxyProtocolFuture<S, Io>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        match self.config.expects(conn.socket_addr()) {
            Expected::Nothing => {
                let conn = conn.map_io_passthrough(|io| PrefixedIo::new(io, Vec::new()));
                ProxyProtocolFuture::serving(self.inner.call(conn))
            }
            Expected::Header => {
                // The service that was polled ready is the one to call. A clone stays for the next
                // connection.
                let next = self.inner.clone();
                let inner = mem::replace(&mut self.inner, next);
                ProxyProtocolFuture::upgrading(self.upgrade.upgrade_and_serve(conn, inner))
            }
            Expected::Nobody => {
                conn.label("error.type", UNTRUSTED);
                ProxyProtocolFuture::refused()
            }
        }
    }
}

/// What is expected from the peer of a socket.
enum Expected {
    Header,
    Nothing,
    Nobody,
}

impl Config {
    fn expects(&self, socket: &Addr) -> Expected {
        match (self.mode, self.untrusted) {
            (Mode::Off, _) => Expected::Nothing,
            _ if self.trust.trusts(socket) => Expected::Header,
            (_, Untrusted::PassThrough) => Expected::Nothing,
            (_, Untrusted::Refuse) => Expected::Nobody,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ProxyProtocol<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyProtocol")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
