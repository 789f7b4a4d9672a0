//! Encrypts connections with TLS 1.2 and 1.3. Certificates can change while the server runs.
//!
//! # When to use it
//!
//! Use it when clients connect over a network that you do not control and nothing in front of the
//! server terminates TLS. The results of the handshake, including client certificates, are left in
//! the connection's extensions as a [`TlsInfo`].
//!
//! # Position in the stack
//!
//! The layer belongs inside of layers that decide by address (access, limits, and the PROXY
//! protocol, whose header precedes TLS), so that a client that is not admitted costs no handshake.
//! It belongs outside of everything that reads the decrypted data, including the idle and
//! first-byte limits of `timeout`, since handshakes have [their own time limit](TlsLayer::timeout).
//!
//! Data is encrypted when it is written, and sent when the socket has room. **Flush before waiting
//! for an answer, and shut down at the end**: [`shutdown`](tokio::io::AsyncWriteExt::shutdown)
//! sends the rest and then `close_notify`, which tells the client that it has received everything.
//! If a connection is merely dropped, by a panic, a time limit, an abort or a handler that returns,
//! no `close_notify` is sent, since nothing has confirmed that the data was complete.
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
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(TlsLayer::from_pem_files(&cert, &key)?)
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         assert!(conn.is_secure());
//!         let tls = conn.extensions().get::<TlsInfo>().expect("set by the layer").clone();
//!         conn.write_all(tls.server_name().unwrap_or("no name").as_bytes()).await?;
//!         conn.shutdown().await
//!     }))
//!     .await?;
//!
//! let mut roots = rustls::RootCertStore::empty();
//! roots.add(made.cert.der().clone())?;
//! let config = rustls::ClientConfig::builder()
//!     .with_root_certificates(roots)
//!     .with_no_client_auth();
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
//! [`TlsReloader`] has an example of renewed certificates, and [`TlsBuilder`] one of several
//! certificates.
//!
//! # Details
//!
//! ## Streams that end without `close_notify`
//!
//! Reading returns 0 when the client has ended its stream, with or without `close_notify`: many
//! clients do not send it. What the handler writes afterwards still reaches the client.
//!
//! Without `close_notify`, nothing shows whether the client's data was cut off. From then on,
//! [`ConnectionHandle::is_truncated`](reagent::ConnectionHandle::is_truncated) returns true, and if
//! the handler returns `Ok`, the connection ends as
//! [`Disconnected(Truncated)`](reagent::Disconnect::Truncated). There are two exceptions, in which
//! the connection ends like any other:
//!
//! - The server was the first to shut down.
//! - The protocol marks the ends of its messages, as declared by
//!   [`set_delimited`](reagent::ConnectionHandle::set_delimited). `HttpLayer` and `FramedLayer` do
//!   this, since their clients may leave between two messages.
//!
//! [`TlsLayer::require_close_notify`] makes a missing `close_notify` an error of the read instead.
//!
//! ## Monitoring
//!
//! [`TlsReloader::certificates`] returns when each certificate expires. [`TlsReloader::on_reload`]
//! and [`TlsReloader::last_reload`] report the results of reloads. With the feature `metrics`, pass
//! both on, and the dates before each scrape:
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
//! With the feature `trace`, spans and events have the labels `tls.protocol.version`, `tls.cipher`,
//! `tls.next_protocol`, and `server.address` for the server name that the client asked for.
//!
//! # Errors
//!
//! - [`HandshakeError`], with a [kind](HandshakeErrorKind) and the client's address: the handshake
//!   failed. Its kind is also set as the label `error.type`.
//! - [`TimedOut`](reagent::TimedOut) with the kind `tls handshake`: the handshake took longer than
//!   [`TlsLayer::timeout`], 10 seconds by default.
//!
//! Building a layer or reloading its files can fail with a [`TlsConfigError`].

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
/// The TLS library, whose types are part of this module's API.
pub use tokio_rustls::rustls;
pub use upgrade::Tls;
