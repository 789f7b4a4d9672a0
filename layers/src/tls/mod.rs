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
//! [How connections end](#how-connections-end) lists the other ends that send it.
//!
//! A handler can also start TLS itself, in the middle of its protocol: see [STARTTLS](#starttls).
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
//! [`TlsReloader::watch`] has an example of renewed certificates, and [`TlsBuilder`] one of several
//! certificates.
//!
//! # Details
//!
//! ## STARTTLS
//!
//! In a protocol that begins in plaintext and switches to TLS on a command of the client (SMTP,
//! IMAP), the handler calls [`TlsLayer::accept`]. It performs the same handshake as the layer,
//! with the same time limit, labels, events and behavior during a drain.
//!
//! **Refuse plaintext that arrived after the command.** An attacker on the path can append commands
//! to the segment that carries the client's `STARTTLS`. A server that has buffered them and executes
//! them after the handshake mistakes them for the client's own (CVE-2011-0411). A handler that reads
//! through a [`BufReader`](tokio::io::BufReader) calls [`TlsLayer::accept_buffered`], which refuses
//! such a client. A handler that keeps state must also forget what the client said before the
//! handshake (RFC 3207, section 4.2).
//!
//! ```
//! use reagent::{BoxError, Connection};
//! use reagent_layers::tls::TlsLayer;
//! use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
//!
//! async fn smtp(tls: TlsLayer, conn: Connection) -> Result<(), BoxError> {
//!     // Replies are lines, so a client can tell that one was cut short.
//!     conn.set_delimited();
//!     let mut conn = BufReader::new(conn);
//!     conn.write_all(b"220 mail.example.org\r\n").await?;
//!     loop {
//!         conn.flush().await?;
//!         let mut line = String::new();
//!         if (&mut conn).take(512).read_line(&mut line).await? == 0 {
//!             return Ok(());
//!         }
//!         let reply = match line.trim_end().to_ascii_uppercase().as_str() {
//!             "STARTTLS" if conn.get_ref().is_secure() => "503 TLS is active\r\n",
//!             "STARTTLS" => {
//!                 conn.write_all(b"220 go ahead\r\n").await?;
//!                 conn.flush().await?;
//!                 conn = BufReader::new(tls.accept_buffered(conn).await?.boxed());
//!                 continue;
//!             }
//!             "NOOP" => "250 ok\r\n",
//!             "QUIT" => {
//!                 conn.write_all(b"221 bye\r\n").await?;
//!                 return Ok(conn.shutdown().await?);
//!             }
//!             _ => "500 unknown command\r\n",
//!         };
//!         conn.write_all(reply.as_bytes()).await?;
//!     }
//! }
//!
//! # async fn expect(client: &mut (impl AsyncReadExt + Unpin), text: &str) {
//! #     let mut read = vec![0; text.len()];
//! #     client.read_exact(&mut read).await.unwrap();
//! #     assert_eq!(String::from_utf8_lossy(&read), text);
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # use reagent::{Server, testing::MemoryListener};
//! # use std::sync::Arc;
//! # use tokio_rustls::{TlsConnector, rustls};
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let mut config = rustls::ServerConfig::builder().with_no_client_auth();
//! # let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
//! # let config = config.with_single_cert(vec![made.cert.der().clone()], key)?;
//! # let tls = TlsLayer::from_config(Arc::new(config));
//! # let (listener, clients) = MemoryListener::new();
//! // let tls = TlsLayer::from_pem_files("cert.pem", "key.pem")?;
//! # let server =
//! Server::new(listener).start(reagent::handle(move |conn| smtp(tls.clone(), conn))).await?;
//!
//! # let mut roots = rustls::RootCertStore::empty();
//! # roots.add(made.cert.der().clone())?;
//! # let config = rustls::ClientConfig::builder()
//! #     .with_root_certificates(roots)
//! #     .with_no_client_auth();
//! # let connector = TlsConnector::from(Arc::new(config));
//! # let mut client = clients.connect().await?;
//! # client.write_all(b"NOOP\r\nSTARTTLS\r\n").await?;
//! # expect(&mut client, "220 mail.example.org\r\n250 ok\r\n220 go ahead\r\n").await;
//! # let mut client = connector.connect("localhost".try_into()?, client).await?;
//! # client.write_all(b"NOOP\r\nQUIT\r\n").await?;
//! # expect(&mut client, "250 ok\r\n221 bye\r\n").await;
//! # assert_eq!(client.read(&mut [0]).await?, 0);
//! #
//! # let mut injected = clients.connect().await?;
//! # injected.write_all(b"STARTTLS\r\nNOOP\r\n").await?;
//! # let mut answers = String::new();
//! # injected.read_to_string(&mut answers).await?;
//! # assert!(answers.ends_with("\r\n220 go ahead\r\n"), "{answers}");
//! # Ok(())
//! # }
//! ```
//!
//! ## How connections end
//!
//! `close_notify` tells the client that the server has sent everything. In a protocol whose
//! messages end only with the stream, a `close_notify` after half an answer would make it look
//! complete. Therefore:
//!
//! | the connection is | `close_notify` |
//! |---|---|
//! | shut down, by the handler, `HttpLayer`, `FramedLayer` or `relay` | is sent after everything else |
//! | dropped, and the protocol delimits its messages | is sent, if the socket takes it at once |
//! | dropped, and the protocol does not | is not sent |
//! | dropped while a write waits for the client, or while `FramedLayer` has something left to send | is not sent |
//! | reset | is not sent |
//! | ended during the handshake | is not sent |
//!
//! A connection is dropped when a time limit, a quota, an abort or the deadline of a drain ends it,
//! and when its handler returns without calling [`shutdown`](tokio::io::AsyncWriteExt::shutdown). A
//! handler whose protocol delimits its messages says so by
//! [`Connection::set_delimited`](reagent::Connection::set_delimited). `HttpLayer` and `FramedLayer`
//! do this; `HttpLayer` makes an exception of HTTP/1.0 and of upgrades, by
//! [`set_open_ended`](reagent::ConnectionHandle::set_open_ended). Nothing is sent while a panic
//! unwinds.
//!
//! ## How clients end
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
//! ## Sessions
//!
//! Clients resume their sessions with tickets, for up to 12 hours
//! ([`TlsBuilder::session_lifetime`]). Reloading certificates does not end them. Restarting the
//! process does, unless its [`TicketKeys`] are handed over to the new one. Servers behind one load
//! balancer resume each other's sessions if they share [files](TlsBuilder::ticket_key_files) with
//! keys. Clients that are asked for certificates need a full handshake each time.
//!
//! ## Client certificates
//!
//! [`TlsBuilder::require_client_certificates`] sets the authorities, [`TlsBuilder::client_crls`]
//! revoked certificates, and [`TlsLayer::admit`] decides by the client's identity, for example by
//! [`PeerPattern`]s. [`TlsBuilder::apply`] makes changes of all three end open connections too.
//!
//! Certificates are verified up to one of the authorities, through at most 6 intermediates, and
//! there is no setting for the depth. The client must send the intermediates, unless they are in the
//! file of authorities, where they are trusted by themselves.
//!
//! ## Providers
//!
//! rustls leaves cryptography to a provider. With the feature `tls`, ring is compiled in and used
//! unless the process has [installed](rustls::crypto::CryptoProvider::install_default) another
//! provider or [`TlsBuilder::provider`] sets one. With the feature `tls_no_provider`, ring is not
//! compiled in, so a program can use another provider alone. For aws-lc-rs, in `Cargo.toml`:
//!
//! ```toml
//! rustls = { version = "0.23", default-features = false, features = ["aws_lc_rs", "logging", "prefer-post-quantum", "std", "tls12"] }
//! tower-reagent-layers = { version = "0.1", features = ["tls_no_provider"] }
//! ```
//!
//! and in `main`, or for one layer:
//!
//! ```ignore
//! rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first one");
//! let tls = TlsLayer::builder().provider(rustls::crypto::aws_lc_rs::default_provider());
//! ```
//!
//! With `prefer-post-quantum`, keys are exchanged by X25519MLKEM768 if the client offers it.
//!
//! A program with both compiled in has to choose in one of these ways wherever rustls itself would
//! choose, as in `ClientConfig::builder()`.
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
//! - [`Rejected`](reagent::Rejected) with the reason [`CLIENT_CERTIFICATE`]: the client's certificate
//!   was no longer valid after a reload that [applies](TlsBuilder::apply) to open connections. With
//!   the reason [`INJECTED`]: see [STARTTLS](#starttls). With the reason [`IDENTITY`]: see
//!   [`TlsLayer::admit`].
//! - [`Rejected`](reagent::Rejected) with the reason [`ACME_CHALLENGE`]: a certificate authority has
//!   validated a name by the challenge of a [`CertificateResolver`], and the connection is done.
//!
//! Building a layer or reloading its files can fail with a [`TlsConfigError`].

mod admitted;
pub(crate) mod alpn;
mod authorities;
mod builder;
pub(crate) mod certificates;
mod config_error;
pub(crate) mod contents;
mod handshake_error;
mod info;
mod io;
mod key_set;
mod layer;
mod ocsp;
mod peer;
mod peer_pattern;
mod pem;
pub(crate) mod provider;
mod reload;
mod resolver;
mod served;
mod shared_keys;
mod source;
mod stapled;
pub(crate) mod store;
mod ticket_key;
mod ticket_keys;
mod tickets;
mod upgrade;

pub use admitted::CLIENT_CERTIFICATE;
pub use builder::TlsBuilder;
pub use config_error::TlsConfigError;
pub use handshake_error::{HandshakeError, HandshakeErrorKind};
pub use info::TlsInfo;
pub use io::TlsIo;
pub use layer::{IDENTITY, INJECTED, TlsLayer};
pub use peer::PeerName;
pub use peer_pattern::{InvalidPeerPattern, PeerPattern};
pub use reload::{LastReload, TlsReloader};
pub use resolver::{ACME_CHALLENGE, CertificateResolver};
pub use served::ServedCertificate;
pub use ticket_keys::TicketKeys;
/// The TLS library, whose types are part of this module's API.
pub use tokio_rustls::rustls;
pub use upgrade::Tls;
