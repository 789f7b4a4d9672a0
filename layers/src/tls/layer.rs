//! The layer and its settings.

use super::{
    Tls, TlsBuilder, TlsConfigError, TlsIo, TlsReloader, rustls::ServerConfig, store::Store,
};
use reagent::{BoxError, Connection, IoStream, UpgradeLayer, UpgradeService};
use std::{future::Future, path::Path, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tower_layer::Layer;

/// As [`UpgradeLayer`] has it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A layer that serves TLS. Clones share the certificates and the limit of handshakes.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct TlsLayer {
    tls: Tls,
    timeout: Option<Duration>,
}

impl TlsLayer {
    pub(super) fn new(store: Store) -> Self {
        TlsLayer {
            tls: Tls {
                store: Arc::new(store),
                places: None,
                requires_close_notify: false,
            },
            timeout: Some(DEFAULT_TIMEOUT),
        }
    }

    /// Creates a layer that serves every client with the certificate (or the chain, the server's own
    /// first) in one file and the key in another, which may be the same.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the files.
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        Self::builder().certificate(certificate, key).build()
    }

    /// Creates a layer that serves with this configuration, as it is.
    ///
    /// How sessions are resumed is up to the configuration. rustls does not look at a client's certificate
    /// again when a session is resumed: it may have expired, or its authority may be trusted no more. Where
    /// clients need certificates, leave `ticketer` as it is, set `send_tls13_tickets` to 0 and
    /// `session_storage` to [`NoServerSessionStorage`](super::rustls::server::NoServerSessionStorage), as
    /// [`TlsBuilder`] does.
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self::new(Store::from_config(config))
    }

    /// Returns a builder, for certificates by name, ALPN and client certificates.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// Sets how long a handshake may take, from the start of the connection's upgrade to its end.
    /// Default 10 s.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = limit.into();
        self
    }

    /// Sets how many handshakes may compute at once, in all acceptors together: the others wait in order,
    /// inside their time limit. A handshake that waits for its client has no place, so that clients that
    /// stop delay nobody.
    ///
    /// It leaves the other threads of the runtime to connections that are served: with as many as there are
    /// threads it has no effect. Default: no limit.
    pub fn max_handshakes(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.tls.places = limit
            .into()
            .map(|limit| Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS))));
        self
    }

    /// Sets whether a client that ends its stream without `close_notify` is an error,
    /// [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof), instead of an end that the outcome of the
    /// connection tells. Default `false`.
    ///
    /// For protocols whose messages end with the stream and must not be acted on when they were cut short,
    /// with clients that are known to send it: many do not.
    pub fn require_close_notify(mut self, required: bool) -> Self {
        self.tls.requires_close_notify = required;
        self
    }

    /// Performs the handshake on one connection, for handlers that start TLS themselves: see
    /// [STARTTLS](super#starttls). The time limit, labels, events and [`TlsInfo`](super::TlsInfo)
    /// are those of the layer.
    ///
    /// # Errors
    ///
    /// Returns [`HandshakeError`](super::HandshakeError), or [`TimedOut`](reagent::TimedOut) of the
    /// kind `tls handshake`. The connection is lost. A handler that returns the error ends with the
    /// same outcome as behind the layer.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the connection is dropped with the future.
    pub fn accept<Io: IoStream>(
        &self,
        conn: Connection<Io>,
    ) -> impl Future<Output = Result<Connection<TlsIo<Io>>, BoxError>> + Send + use<Io> {
        self.upgrade_layer().upgrade(conn)
    }

    fn upgrade_layer(&self) -> UpgradeLayer<Tls> {
        UpgradeLayer::new(self.tls.clone()).timeout(self.timeout)
    }

    /// Returns a handle that exchanges the certificates of this layer and its clones.
    pub fn reloader(&self) -> TlsReloader {
        TlsReloader::new(self.tls.store.clone())
    }
}

impl<S> Layer<S> for TlsLayer {
    type Service = UpgradeService<Tls, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.upgrade_layer().layer(inner)
    }
}
