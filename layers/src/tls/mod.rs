//! Encrypts connections: TLS 1.2 and 1.3, with certificates that may change while the server runs.
//!
//! # When
//!
//! Clients come over a network that is not yours, and nothing in front of the server ends their TLS. What
//! the handshake found out is in the connection's extensions as a [`TlsInfo`], client certificates included.
//!
//! # Where in the stack
//!
//! Inside of whatever decides by address (access, limits, the PROXY header, which comes before TLS), so that
//! who is not admitted costs no handshake; outside of everything that looks at what is said. It has a time
//! limit of its own, so idle and first-byte limits belong inside of it.
//!
//! Bytes are encrypted as they are written and go out when there is room, so **flush before waiting for an
//! answer, and shut down at the end**: [`shutdown`](tokio::io::AsyncWriteExt::shutdown) sends the rest and
//! then `close_notify`, by which the client knows that it has got everything. A connection that is just
//! dropped (by a panic, a time limit, an abort, or a handler that returns) sends none, since nobody has said
//! that it was complete. The other way round it is the same: reading gives 0 after the client's
//! `close_notify`, and [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) if the stream ends without one.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::tls::{TlsInfo, TlsLayer};
//! use std::{fs, sync::Arc};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio_rustls::{TlsConnector, rustls};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let dir = std::env::temp_dir().join(format!("reagent-tls-example-{}", std::process::id()));
//! # fs::create_dir_all(&dir)?;
//! let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
//! fs::write(&cert, made.cert.pem())?;
//! fs::write(&key, made.signing_key.serialize_pem())?;
//!
//! let layer = TlsLayer::from_pem_files(&cert, &key)?;
//! // A program spawns `layer.reloader().watch(…)`; here we ask ourselves.
//! let reloader = layer.reloader();
//! reloader.reload()?;
//!
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(layer)
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         assert!(conn.is_secure());
//!         let tls = conn.extensions().get::<TlsInfo>().unwrap().clone();
//!         conn.write_all(tls.server_name().unwrap_or("nobody").as_bytes()).await?;
//!         conn.shutdown().await
//!     }))
//!     .await?;
//!
//! let mut roots = rustls::RootCertStore::empty();
//! roots.add(made.cert.der().clone())?;
//! let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
//! let stream = clients.connect().await?;
//! let mut client =
//!     TlsConnector::from(Arc::new(config)).connect("localhost".try_into()?, stream).await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "localhost");
//! # fs::remove_dir_all(&dir)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`HandshakeError`], of a [`kind`](HandshakeErrorKind) and with the client's address, for a handshake that
//! failed; [`TimedOut`](reagent::TimedOut) of the kind `tls handshake` for one that took longer than 10
//! seconds, or than [`TlsLayer::timeout`]. [`TlsConfigError`] tells what is wrong with files.

mod builder;
mod certificates;
mod error;
mod failure;
mod handshake;
mod info;
mod pem;
mod reload;
mod source;
mod store;

pub use builder::TlsBuilder;
pub use error::TlsConfigError;
pub use failure::{HandshakeError, HandshakeErrorKind};
pub use handshake::Tls;
pub use info::TlsInfo;
pub use reload::TlsReloader;
/// The TLS library, since its types are part of this module's.
pub use tokio_rustls::rustls;

use reagent::{UpgradeLayer, UpgradeService};
use rustls::ServerConfig;
use std::{path::Path, sync::Arc, time::Duration};
use store::Store;
use tokio::sync::Semaphore;
use tower_layer::Layer;

/// As [`UpgradeLayer`] has it.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// A layer that speaks TLS with clients. Clones share the certificates and the limit of handshakes.
#[derive(Clone, Debug)]
pub struct TlsLayer {
    store: Arc<Store>,
    places: Option<Arc<Semaphore>>,
    timeout: Option<Duration>,
}

impl TlsLayer {
    fn new(store: Store) -> Self {
        TlsLayer {
            store: Arc::new(store),
            places: None,
            timeout: Some(DEFAULT_TIME_LIMIT),
        }
    }

    /// Serves everybody with the certificate (or the chain, the server's own first) in one file and the key
    /// in another, which may be the same.
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        Self::builder().certificate(certificate, key).build()
    }

    /// Serves with a configuration of one's own, as it is.
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self::new(Store::from_config(config))
    }

    /// For certificates by name, ALPN and client certificates.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// How long a handshake may take, from the start of the connection's upgrade to its end. Default 10 s.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = limit.into();
        self
    }

    /// How many handshakes may run at once, in all acceptors together: the others wait in order, inside
    /// their time limit. Silent clients do not count, since a handshake begins with the client's first
    /// message. Default as many as there are connections.
    pub fn max_handshakes(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.places = limit
            .into()
            .map(|limit| Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS))));
        self
    }

    /// What exchanges the certificates of this layer and its clones.
    pub fn reloader(&self) -> TlsReloader {
        TlsReloader::new(self.store.clone())
    }
}

impl<S> Layer<S> for TlsLayer {
    type Service = UpgradeService<Tls, S>;

    fn layer(&self, inner: S) -> Self::Service {
        UpgradeLayer::new(Tls {
            store: self.store.clone(),
            places: self.places.clone(),
        })
        .timeout(self.timeout)
        .layer(inner)
    }
}
