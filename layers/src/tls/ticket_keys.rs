//! The keys of session tickets, which can be handed over to another process.

use super::{
    key_set::{KEPT_FOR, KeySet},
    provider::{Aead, default_provider},
    rustls::server::ProducesTickets,
    ticket_key::{KeyName, TicketKey, Use},
    tickets::{Keys, Tickets},
};
use reagent::{BoxError, Carried};
use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// The keys that encrypt session tickets, which survive a restart as [`Carried`] state. Clones
/// share the keys.
///
/// A server hands the state of a session to the client, encrypted, as a ticket (RFC 5077, RFC 8446
/// section 4.6.1). A client that returns with it resumes its session, which saves both sides the
/// signature of a handshake. A server that was restarted with new keys cannot read these tickets,
/// so that all clients need a full handshake at the same time. Pass the keys to the successor to
/// avoid that.
///
/// Each [`TlsLayer`](super::TlsLayer) has its own keys unless
/// [`TlsBuilder::ticket_keys`](super::TlsBuilder::ticket_keys) sets them.
/// [`TlsLayer::ticket_keys`](super::TlsLayer::ticket_keys) returns them.
///
/// # Rotation
///
/// A key encrypts new tickets for 6 hours, and its tickets are accepted until it is 12 hours old,
/// also across restarts. It is then erased when the next ticket is issued, so a server without
/// clients keeps its last key. Reloading certificates does not change the keys; [`reset`] does.
///
/// # Security
///
/// - **Forward secrecy.** An attacker who records connections, and later obtains the key of their
///   tickets, can decrypt those that use TLS 1.2. With TLS 1.3, recorded connections stay secret,
///   since each resumption exchanges new keys, but the attacker can pose as the server to clients
///   that resume their sessions. Therefore keys are rotated, kept only in memory, and
///   overwritten at the end. A restart does not renew them if they are handed over: a key that was
///   made by the predecessor expires when it would have expired there.
/// - **The hand-over.** Keys are sent over a Unix socket that only the user of the server can open.
///   Any process of that user can ask for them: see [`Carried`](Carried#secrets).
/// - **Shared keys.** A client that resumes a session does not check the server's certificate
///   again. Share keys only between layers that may answer in each other's name, such as those of
///   two listeners with the same certificates.
/// - **Client certificates.** A layer that asks clients for certificates neither issues nor accepts
///   tickets. So no session outlives its certificate or the authority that has signed it, and no
///   client evades a newly required certificate by resuming an earlier session. This also holds for
///   a successor that trusts other authorities.
///
/// # Saved keys
///
/// [`restore`](Carried::restore) replaces all keys by the saved ones. Keys that have expired are
/// left out, and saved keys in a format that this version does not know, as after a rollback, are
/// ignored. In both cases clients make full handshakes, and the restart succeeds. It fails only if
/// the saved keys are damaged.
///
/// # Example
///
/// A session that is resumed after the server was replaced:
///
/// ```
/// use reagent::{Carried, Connection, Server, ServerHandle, testing::MemoryListener};
/// use reagent_layers::tls::{TicketKeys, TlsInfo, TlsLayer};
/// # use reagent::{BoxError, testing::Clients};
/// # use std::{fs, io, path::Path, sync::Arc};
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # use tokio_rustls::{TlsConnector, rustls};
///
/// async fn greet(mut conn: Connection) -> io::Result<()> {
///     let tls = conn.extensions().get::<TlsInfo>().expect("set by the layer");
///     let greeting: &[u8] = if tls.is_resumed() { b"welcome back" } else { b"welcome" };
///     conn.write_all(greeting).await?;
///     conn.shutdown().await
/// }
///
/// # async fn start(layer: TlsLayer) -> Result<(ServerHandle, Clients), BoxError> {
/// #     let (listener, clients) = MemoryListener::new();
/// #     let server = Server::new(listener).layer(layer).start(reagent::handle(greet)).await?;
/// #     Ok((server, clients))
/// # }
/// # async fn ask(connector: &TlsConnector, clients: &Clients) -> Result<String, BoxError> {
/// #     let stream = clients.connect().await?;
/// #     let mut client = connector.connect("localhost".try_into()?, stream).await?;
/// #     let mut greeting = String::new();
/// #     client.read_to_string(&mut greeting).await?;
/// #     Ok(greeting)
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let dir = std::env::temp_dir().join(format!("reagent-ticket-keys-{}", std::process::id()));
/// # fs::create_dir_all(&dir)?;
/// # let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// # fs::write(&cert, made.cert.pem())?;
/// # fs::write(&key, made.signing_key.serialize_pem())?;
/// # let mut roots = rustls::RootCertStore::empty();
/// # roots.add(made.cert.der().clone())?;
/// # let config = rustls::ClientConfig::builder()
/// #     .with_root_certificates(roots)
/// #     .with_no_client_auth();
/// # let connector = TlsConnector::from(Arc::new(config));
/// let builder = TlsLayer::builder().certificate(&cert, &key);
/// let old_keys = TicketKeys::new();
/// let layer = builder.clone().ticket_keys(old_keys.clone()).build()?;
/// # let (server, clients) = start(layer).await?;
/// // A client connects to a server with this layer.
/// assert_eq!(ask(&connector, &clients).await?, "welcome");
///
/// // In the successor, by the hand-over:
/// let new_keys = TicketKeys::new();
/// let layer = builder.ticket_keys(new_keys.clone()).build()?;
/// new_keys.restore(&old_keys.save())?;
/// # let (server, clients) = start(layer).await?;
/// // The client connects to the successor.
/// assert_eq!(ask(&connector, &clients).await?, "welcome back");
/// # fs::remove_dir_all(&dir)?;
/// # Ok(())
/// # }
/// ```
///
/// [`reset`]: Self::reset
#[derive(Clone)]
pub struct TicketKeys {
    name: Cow<'static, str>,
    keys: Arc<Mutex<KeySet>>,
}

impl Default for TicketKeys {
    fn default() -> Self {
        TicketKeys {
            name: "tls ticket keys".into(),
            keys: Arc::default(),
        }
    }
}

impl TicketKeys {
    /// Creates a set of random keys. They are made when they are first needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the [name](Carried::name) under which the keys are handed over. The default is `tls
    /// ticket keys`. A server with several sets of keys needs a name for each.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Forgets all keys. Sessions that began earlier cannot be resumed.
    ///
    /// Use it when a private key or the memory of the server may have become known, after the
    /// certificates have been replaced.
    pub fn reset(&self) {
        *self.keys() = KeySet::default();
    }

    /// Returns a ticketer with these keys for a [`ServerConfig`](super::rustls::ServerConfig) of
    /// your own: its `ticketer`.
    ///
    /// Do not use it in a configuration that asks for client certificates, since rustls does not
    /// check them again: see [`TlsLayer::from_config`](super::TlsLayer::from_config). Its tickets
    /// are not accepted by layers that were made by a [`TlsBuilder`](super::TlsBuilder), even if
    /// they share the keys.
    ///
    /// Tickets are encrypted by the provider that the process has installed, or else by ring.
    /// Without both, no tickets are issued.
    pub fn ticketer(&self) -> Arc<dyn ProducesTickets> {
        let provider = default_provider().ok();
        let aead = provider.and_then(|provider| Aead::of(&provider));
        let keys = Keys::Own(self.clone());
        Arc::new(Tickets::new(keys, aead, Use::Custom, KEPT_FOR))
    }

    /// Returns the key for new tickets.
    pub(super) fn present(&self, aead: Aead, now: Instant) -> Option<Arc<TicketKey>> {
        self.keys().present(aead, now)
    }

    /// Returns the key with this name, if it is known and has not expired.
    pub(super) fn find(&self, name: &KeyName, now: Instant) -> Option<Arc<TicketKey>> {
        self.keys().find(name, now)
    }

    fn keys(&self) -> MutexGuard<'_, KeySet> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carried for TicketKeys {
    fn name(&self) -> &str {
        &self.name
    }

    fn save(&self) -> Vec<u8> {
        self.keys().save(Instant::now())
    }

    fn restore(&self, saved: &[u8]) -> Result<(), BoxError> {
        match KeySet::restore(Instant::now(), saved)? {
            Some(keys) if !keys.is_empty() => *self.keys() = keys,
            _ => {}
        }
        Ok(())
    }
}

/// Shows nothing of the keys.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
