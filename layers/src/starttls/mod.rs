//! Encrypts connections whose clients ask for TLS in their own protocol, as PostgreSQL's do.
//!
//! # When to use it
//!
//! Use it in front of a database that clients reach over TLS, so that the certificates, access rules
//! and limits are those of one place. The connection behind the layer begins with the client's
//! startup message, as if the client had not used TLS, and can be relayed to a server without TLS.
//!
//! The layer is for protocols in which the client asks for TLS before anything else. If the client
//! and the server talk before that, as in SMTP and IMAP, the server's answers depend on its state:
//! let the handler call [`TlsLayer::accept`](crate::tls::TlsLayer::accept) instead, as described
//! under [STARTTLS](crate::tls#starttls).
//!
//! # Position in the stack
//!
//! The layer takes the place of a [`TlsLayer`](crate::tls::TlsLayer): inside of layers that decide by
//! address and of the PROXY protocol, and outside of everything that reads the decrypted data.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::{starttls::StartTlsLayer, tls::TlsLayer};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use std::{fs, sync::Arc};
//! # use tokio_rustls::{TlsConnector, rustls};
//!
//! async fn serve(mut conn: Connection) -> std::io::Result<()> {
//!     assert!(conn.is_secure());
//!     let mut startup = [0; 8];
//!     conn.read_exact(&mut startup).await?;
//!     // …
//!     conn.write_all(b"R").await?;
//!     conn.shutdown().await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let dir = std::env::temp_dir().join(format!("reagent-starttls-{}", std::process::id()));
//! # fs::create_dir_all(&dir)?;
//! # let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
//! # fs::write(&cert, made.cert.pem())?;
//! # fs::write(&key, made.signing_key.serialize_pem())?;
//! # let (listener, clients) = MemoryListener::new();
//! let tls = TlsLayer::builder()
//!     .certificate(&cert, &key)
//!     .alpn(["postgresql"])
//!     .build()?;
//! let server = Server::new(listener)
//!     .layer(StartTlsLayer::postgres(tls))
//!     .start(reagent::handle(serve))
//!     .await?;
//!
//! // An SSLRequest, and its answer.
//! let mut client = clients.connect().await?;
//! client.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await?;
//! assert_eq!(client.read_u8().await?, b'S');
//! # let mut roots = rustls::RootCertStore::empty();
//! # roots.add(made.cert.der().clone())?;
//! # let config = rustls::ClientConfig::builder()
//! #     .with_root_certificates(roots)
//! #     .with_no_client_auth();
//! # let connector = TlsConnector::from(Arc::new(config));
//! let mut client = connector.connect("localhost".try_into()?, client).await?;
//! client.write_all(b"\0\0\0\x09\0\x03\0\0\0").await?;
//! assert_eq!(client.read_u8().await?, b'R');
//!
//! // A startup message in plaintext.
//! let mut client = clients.connect().await?;
//! client.write_all(b"\0\0\0\x09\0\x03\0\0\0").await?;
//! let mut error = Vec::new();
//! client.read_to_end(&mut error).await?;
//! assert!(error.starts_with(b"E"));
//! # fs::remove_dir_all(&dir)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## PostgreSQL
//!
//! | the client sends | and the layer |
//! |---|---|
//! | `SSLRequest` | answers `S` and performs the handshake |
//! | `GSSENCRequest` | answers `N`, once, and waits for what the client asks for next |
//! | a TLS handshake | performs it, if the client negotiates the ALPN protocol `postgresql` |
//! | `CancelRequest` | passes it on in plaintext, and nothing that follows it |
//! | a startup message in plaintext | refuses it with an error message, or passes it on: [`allow_plaintext`](StartTlsLayer::allow_plaintext) |
//!
//! A `CancelRequest` is passed on because libpq sends it in plaintext before version 17, even with
//! `sslmode=require`. It carries a secret that the server has given to the client, and an attacker on
//! the path who sees it can repeat it. It is the only plaintext that a handler receives by default,
//! and the client needs no certificate for it.
//!
//! Clients cannot bind their password to the TLS channel (`channel_binding=require`,
//! `SCRAM-SHA-256-PLUS`) if a server behind the layer verifies it, since that server does not see
//! the channel.
//!
//! ## Injected plaintext
//!
//! An attacker on the path can append bytes to a request, which a careless server takes for the
//! first ones of the encrypted session (CVE-2011-0411, CVE-2021-23222). This layer refuses a client
//! whose request is followed by anything before the answer. What arrives later is read by the
//! handshake, which fails.
//!
//! ## Monitoring
//!
//! The label `starttls` tells how a connection began: `requested`, `direct`, `cancel` or
//! `plaintext`. The labels of the handshake are those of [`tls`](crate::tls#monitoring).
//!
//! # Errors
//!
//! - [`Rejected`](reagent::Rejected) with one of the reasons [`NO_TLS`], [`INJECTED`], [`INVALID`] and
//!   [`NO_ALPN`].
//! - [`TimedOut`](reagent::TimedOut) with the kind [`TIMEOUT`]: the client did not say within
//!   [`StartTlsLayer::timeout`], 10 seconds by default, how it goes on.
//! - The errors of the handshake: see [`tls`](crate::tls#errors).
//! - An I/O error, also if the client closes the connection in the middle of a request.

mod io;
mod layer;
mod postgres;
mod protocol;
mod upgrade;

/// The reason of a [`Rejected`](reagent::Rejected) client whose request is followed by plaintext.
pub use crate::tls::INJECTED;
pub use io::StartTlsIo;
pub use layer::StartTlsLayer;
pub use upgrade::StartTls;

/// The kind of [`TimedOut`](reagent::TimedOut) of a client that does not say in time how it goes on.
/// It is also the name of the upgrade.
pub const TIMEOUT: &str = "starttls";

/// The reason of a [`Rejected`](reagent::Rejected) client that does not ask for TLS.
pub const NO_TLS: &str = "no tls";

/// The reason of a [`Rejected`](reagent::Rejected) client that does not speak the protocol.
pub const INVALID: &str = "invalid starttls";

/// The reason of a [`Rejected`](reagent::Rejected) client that begins with TLS and does not negotiate
/// the ALPN protocol.
pub const NO_ALPN: &str = "no alpn";
