//! The layer and its settings.

use super::{
    TicketKeys, Tls, TlsBuilder, TlsConfigError, TlsInfo, TlsIo, TlsReloader, rustls::ServerConfig,
    store::Store,
};
use reagent::{BoxError, Connection, IoStream, Rejected, UpgradeLayer, UpgradeService};
use std::{future::Future, path::Path, sync::Arc, time::Duration};
use tokio::{io::BufReader, sync::Semaphore};
use tower_layer::Layer;

/// The same as the default of [`UpgradeLayer`].
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason of a [`Rejected`] client whose plaintext was received before a handshake and not
/// processed: see [STARTTLS](super#starttls).
pub const INJECTED: &str = "injected plaintext";

/// The reason of a [`Rejected`] client that is not admitted: see [`TlsLayer::admit`].
pub const IDENTITY: &str = "identity";

/// A layer that encrypts connections with TLS.
///
/// Clones share the certificates and the limit on handshakes.
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
                admit: None,
            },
            timeout: Some(DEFAULT_TIMEOUT),
        }
    }

    /// Creates a layer that serves every client with one certificate.
    ///
    /// `certificate` is the file of the certificate or chain, the server's own certificate first.
    /// `key` is the file of the private key and may be the same file.
    ///
    /// # Errors
    ///
    /// Returns a [`TlsConfigError`] if a file cannot be read or used.
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        Self::builder().certificate(certificate, key).build()
    }

    /// Creates a layer that uses `config` unchanged.
    ///
    /// The configuration decides how sessions are resumed. To hand its ticket keys over to a
    /// successor of this process, use the ticketer of [`TicketKeys::ticketer`].
    ///
    /// rustls does not check a client's certificate again when a session is resumed, even if it has
    /// expired or its authority is no longer trusted. If clients need certificates, disable
    /// resumption as [`TlsBuilder`] does: leave `ticketer` at its default, set `send_tls13_tickets`
    /// to 0 and `session_storage` to
    /// [`NoServerSessionStorage`](super::rustls::server::NoServerSessionStorage).
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self::new(Store::from_config(config))
    }

    /// Returns a builder, for several certificates, ALPN and client certificates.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// Sets the time limit for a handshake, or `None` for no limit. The default is 10 s, the same
    /// as for other upgrades.
    ///
    /// The time runs from the start of the connection's upgrade to its end.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = limit.into();
        self
    }

    /// Limits the number of handshakes that may compute at the same time, across all acceptors. The
    /// default is `None`, no limit, since only servers under a load of handshakes need one.
    ///
    /// Further handshakes wait in order, within their time limit. A handshake that is waiting for
    /// its client does not count, so stalled clients delay nobody. A limit of 0 counts as 1.
    ///
    /// Set the limit below the number of runtime threads, to keep the others free for established
    /// connections. A limit of that number or more has no effect.
    pub fn max_handshakes(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.tls.places = limit
            .into()
            .map(|limit| Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS))));
        self
    }

    /// Sets whether reading fails with [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) if the
    /// client ends its stream without `close_notify`. The default is `false`, since many clients do
    /// not send it: the read then returns an ordinary end, and the outcome of the connection shows
    /// that it was truncated.
    ///
    /// Use it for protocols whose messages end with the stream and must not be acted on when cut
    /// short, if all clients are known to send `close_notify`.
    pub fn require_close_notify(mut self, required: bool) -> Self {
        self.tls.requires_close_notify = required;
        self
    }

    /// Admits only clients for which `admit` returns true after the handshake, by their identity or
    /// anything else that it has shown. Others end with [`Rejected`] and the reason [`IDENTITY`]. By
    /// default, every client that completes the handshake is admitted.
    ///
    /// The handshake has verified the client's certificate before, if clients are asked for one.
    /// `admit` is called for each connection, also for those that [`accept`](Self::accept) encrypts,
    /// and must not block. It may read state that changes. If changes [apply](TlsBuilder::apply) to
    /// open connections and clients are asked for certificates, it is called again for each of them
    /// by [`TlsReloader::recheck`] and by every reload, and connections for which it then returns
    /// false are ended. Of two calls of this method, the last one has an effect.
    ///
    /// [`PeerPattern`](super::PeerPattern) compares names with those of a list.
    ///
    /// # Example
    ///
    /// ```
    /// # use reagent_layers::tls::{PeerName, TlsConfigError, TlsLayer};
    /// # fn example() -> Result<(), TlsConfigError> {
    /// let operator = PeerName::Email("operator@example.org".into());
    /// let tls = TlsLayer::builder()
    ///     .certificate("cert.pem", "key.pem")
    ///     .require_client_certificates("ca.pem")
    ///     .build()?
    ///     .admit(move |tls| {
    ///         tls.spiffe_id().is_some_and(|id| id.starts_with("spiffe://example.org/billing/"))
    ///             || tls.peer_names().contains(&operator)
    ///     });
    /// # Ok(())
    /// # }
    /// ```
    pub fn admit(mut self, admit: impl Fn(&TlsInfo) -> bool + Send + Sync + 'static) -> Self {
        self.tls.admit = Some(Arc::new(admit));
        self
    }

    /// Performs the handshake on one connection, for handlers that start TLS themselves.
    ///
    /// The time limit, labels, events and [`TlsInfo`](super::TlsInfo) are those of the layer. See
    /// [STARTTLS](super#starttls) for an example.
    ///
    /// # Errors
    ///
    /// Returns a [`HandshakeError`](super::HandshakeError), or [`TimedOut`](reagent::TimedOut) with
    /// the kind `tls handshake`. The connection is lost. If the handler returns the error, the
    /// connection ends with the same outcome as behind the layer.
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

    /// Performs the handshake like [`accept`](Self::accept), for handlers that read through a
    /// [`BufReader`], and refuses a client whose plaintext is still in the buffer.
    ///
    /// A client waits for the answer to its command, so what is in the buffer is not its own: see
    /// [STARTTLS](super#starttls). The buffer is dropped, and the handler needs a new one.
    ///
    /// # Errors
    ///
    /// Returns [`Rejected`] with the reason [`INJECTED`], or the errors of [`accept`](Self::accept).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the connection is dropped with the future.
    pub async fn accept_buffered<Io: IoStream>(
        &self,
        conn: BufReader<Connection<Io>>,
    ) -> Result<Connection<TlsIo<Io>>, BoxError> {
        match conn.buffer() {
            [] => self.accept(conn.into_inner()).await,
            _ => Err(Rejected::new(INJECTED).into()),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.tls.store
    }

    fn upgrade_layer(&self) -> UpgradeLayer<Tls> {
        UpgradeLayer::new(self.tls.clone()).timeout(self.timeout)
    }

    /// Returns the keys of session tickets, to hand them over to a successor of this process, or
    /// `None` if the layer was made [from a configuration](Self::from_config), which has its own.
    pub fn ticket_keys(&self) -> Option<TicketKeys> {
        self.tls.store.ticket_keys()
    }

    /// Returns a handle that replaces the certificates of this layer and its clones.
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
