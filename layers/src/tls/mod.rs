//! Encrypts connections: TLS 1.2 and 1.3, with certificates that may change while the server runs.
//!
//! # When to use it
//!
//! Clients come over a network that is not yours, and nothing in front of the server ends their TLS. What
//! the handshake found out is in the connection's extensions as a [`TlsInfo`], client certificates included.
//!
//! # Position in the stack
//!
//! Inside of whatever decides by address (access, limits, the PROXY header, which comes before TLS), so that
//! a client that is not admitted costs no handshake; outside of everything that reads the plain text. Handshakes
//! have [a time limit](TlsLayer::timeout) here, so idle and first-byte limits belong inside of this layer.
//!
//! Bytes are encrypted as they are written and go out when there is room, so **flush before waiting for an
//! answer, and shut down at the end**: [`shutdown`](tokio::io::AsyncWriteExt::shutdown) sends the rest and
//! then `close_notify`, by which the client knows that it has got everything. A connection that is just
//! dropped (by a panic, a time limit, an abort, or a handler that returns) sends none, since nobody has said
//! that it was complete.
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
//! reloader.reload().await?;
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
//! # Details
//!
//! Reading returns 0 when the client has ended its stream, with `close_notify` or, as many clients do, without
//! one; what the handler writes then still reaches the client. Without it nobody can tell whether the client was
//! cut off: [`ConnectionHandle::is_truncated`](reagent::ConnectionHandle::is_truncated) is true from then on,
//! and a handler that returns `Ok` ends its connection as
//! [`Disconnected(Truncated)`](reagent::Disconnect::Truncated). It ends as any other where the server was the
//! first to shut down, and in protocols that mark the ends of their messages
//! ([`set_delimited`](reagent::ConnectionHandle::set_delimited)), as `HttpLayer` and `FramedLayer` do: their clients
//! may leave between two messages. [`TlsLayer::require_close_notify`] makes it an error instead.
//!
//! The certificates can be watched. [`TlsReloader::certificates`] returns when each expires, and
//! [`TlsReloader::on_reload`] and [`TlsReloader::last_reload`] report how the files were last loaded. A program with the
//! feature `metrics` hands both on, the dates before each scrape:
//!
//! ```
//! # use reagent_layers::tls::TlsLayer;
//! # use std::time::SystemTime;
//! # #[derive(Clone)]
//! # struct MetricsObserver;
//! # impl MetricsObserver {
//! #     fn certificates_reloaded(&self, _: bool) {}
//! #     fn set_certificate_expiry(&self, _: Option<&str>, _: SystemTime) {}
//! # }
//! # fn example(layer: TlsLayer, metrics: MetricsObserver) {
//! let counting = metrics.clone();
//! let reloader = layer
//!     .reloader()
//!     .on_reload(move |result| counting.certificates_reloaded(result.is_ok()));
//! // Before a scrape:
//! for certificate in reloader.certificates() {
//!     if let Some(not_after) = certificate.not_after {
//!         metrics.set_certificate_expiry(certificate.name.as_deref(), not_after);
//!     }
//! }
//! # }
//! ```
//!
//! In the span and the events of the feature `trace` are the labels `tls.protocol.version`, `tls.cipher`,
//! `tls.next_protocol` and `server.address`, the name that the client asked for.
//!
//! # Errors
//!
//! [`HandshakeError`], of a [`kind`](HandshakeErrorKind) and with the client's address, for a handshake that
//! failed; [`TimedOut`](reagent::TimedOut) of the kind `tls handshake` for one that took longer than 10
//! seconds, or than [`TlsLayer::timeout`]. [`TlsConfigError`] tells what is wrong with files.

mod authorities;
mod builder;
mod certificates;
mod config_error;
mod contents;
mod handshake_error;
mod info;
mod io;
mod layer;
mod peer;
mod pem;
mod reload;
mod served;
mod source;
mod store;
mod tickets;
mod upgrade;

pub use builder::TlsBuilder;
pub use config_error::TlsConfigError;
pub use handshake_error::{HandshakeError, HandshakeErrorKind};
pub use info::TlsInfo;
pub use io::TlsIo;
pub use layer::TlsLayer;
pub use peer::PeerName;
pub use reload::{LastReload, TlsReloader};
pub use served::ServedCertificate;
/// The TLS library, since its types are part of this module's.
pub use tokio_rustls::rustls;
pub use upgrade::Tls;
