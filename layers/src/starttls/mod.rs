//! Encrypts connections whose clients ask for TLS in their own protocol: PostgreSQL and LDAP.
//!
//! # When to use it
//!
//! Use it in front of a database or a directory that clients reach over TLS, so that the
//! certificates, access rules and limits are those of one place. The connection behind the layer
//! begins with the client's first message after the request, as if the client had not used TLS, and
//! can be relayed to a server without TLS.
//!
//! The layer is for protocols in which the client asks for TLS before anything else. In SMTP and
//! IMAP, the server speaks first: see [below](#smtp-and-imap).
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
//! ## LDAP
//!
//! | the client sends | and the layer |
//! |---|---|
//! | a StartTLS request (RFC 4511, section 4.14) | answers with success and performs the handshake |
//! | another request | refuses it with `confidentialityRequired` and waits for the next one, or passes it and everything after it on: [`allow_plaintext`](StartTlsLayer::allow_plaintext) |
//! | the ninth other request, one of more than 4 KiB, or an unbind | ends the connection, after the refusal if the request has a response |
//!
//! A StartTLS request with a value or controls is invalid. Where plaintext is allowed, the first
//! request decides: the server behind the layer receives a StartTLS request that comes later.
//!
//! The server behind the layer does not list StartTLS among its `supportedExtension`s if it has no
//! TLS. It sees neither the client's certificate, so that `SASL EXTERNAL` does not work, nor the TLS
//! channel, to which clients could bind their password.
//!
//! ## SMTP and IMAP
//!
//! In these protocols the server greets the client and lists what it can do before the client asks
//! for TLS. These answers depend on the server, so no layer can give them: let the handler call
//! [`TlsLayer::accept_buffered`](crate::tls::TlsLayer::accept_buffered), as described under
//! [STARTTLS](crate::tls#starttls). The example `smtp.rs` is a whole server of this kind. In IMAP
//! (RFC 9051), a command begins with a tag, which the answer repeats:
//!
//! ```
//! use reagent::{BoxError, Connection};
//! use reagent_layers::tls::TlsLayer;
//! use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
//!
//! async fn imap(tls: TlsLayer, conn: Connection) -> Result<(), BoxError> {
//!     // Commands and answers are lines, so both sides can tell that one was cut short.
//!     conn.set_delimited();
//!     let mut conn = BufReader::new(conn);
//!     conn.write_all(b"* OK ready\r\n").await?;
//!     loop {
//!         conn.flush().await?;
//!         let mut line = String::new();
//!         if (&mut conn).take(8192).read_line(&mut line).await? == 0 {
//!             return Ok(());
//!         }
//!         let is_secure = conn.get_ref().is_secure();
//!         let (tag, command) = line.trim_end().split_once(' ').unwrap_or(("*", ""));
//!         let answer = match command.to_ascii_uppercase().as_str() {
//!             "CAPABILITY" if is_secure => {
//!                 format!("* CAPABILITY IMAP4rev2 AUTH=PLAIN\r\n{tag} OK done\r\n")
//!             }
//!             "CAPABILITY" => {
//!                 format!("* CAPABILITY IMAP4rev2 STARTTLS LOGINDISABLED\r\n{tag} OK done\r\n")
//!             }
//!             "STARTTLS" if !is_secure => {
//!                 conn.write_all(format!("{tag} OK begin TLS now\r\n").as_bytes()).await?;
//!                 conn.flush().await?;
//!                 // Refuses a client whose next command is in the buffer already.
//!                 conn = BufReader::new(tls.accept_buffered(conn).await?.boxed());
//!                 continue;
//!             }
//!             "LOGOUT" => {
//!                 conn.write_all(format!("* BYE\r\n{tag} OK done\r\n").as_bytes()).await?;
//!                 return Ok(conn.shutdown().await?);
//!             }
//!             _ => format!("{tag} BAD unknown command\r\n"),
//!         };
//!         conn.write_all(answer.as_bytes()).await?;
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
//! # use reagent::Server;
//! # use std::{process::Stdio, sync::Arc};
//! # use tokio::{net::TcpStream, process::Command};
//! # use tokio_rustls::{TlsConnector, rustls};
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let mut config = rustls::ServerConfig::builder().with_no_client_auth();
//! # let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
//! # let config = config.with_single_cert(vec![made.cert.der().clone()], key)?;
//! # let tls = TlsLayer::from_config(Arc::new(config));
//! // let tls = TlsLayer::from_pem_files("cert.pem", "key.pem")?;
//! let server = Server::bind("127.0.0.1:0")
//!     .start(reagent::handle(move |conn| imap(tls.clone(), conn)))
//!     .await?;
//!
//! let mut client = TcpStream::connect(server.local_addr().socket_addr().unwrap()).await?;
//! client.write_all(b"a STARTTLS\r\n").await?;
//! expect(&mut client, "* OK ready\r\na OK begin TLS now\r\n").await;
//! # let mut roots = rustls::RootCertStore::empty();
//! # roots.add(made.cert.der().clone())?;
//! # let config = rustls::ClientConfig::builder()
//! #     .with_root_certificates(roots)
//! #     .with_no_client_auth();
//! # let connector = TlsConnector::from(Arc::new(config));
//! let mut client = connector.connect("localhost".try_into()?, client).await?;
//! client.write_all(b"b LOGOUT\r\n").await?;
//! expect(&mut client, "* BYE\r\nb OK done\r\n").await;
//! #
//! # let mut injected = TcpStream::connect(server.local_addr().socket_addr().unwrap()).await?;
//! # injected.write_all(b"a STARTTLS\r\nb LOGOUT\r\n").await?;
//! # let mut answers = String::new();
//! # let _ = injected.read_to_string(&mut answers).await;
//! # assert_eq!(answers, "* OK ready\r\na OK begin TLS now\r\n");
//! #
//! # let mut openssl = Command::new("openssl");
//! # openssl.args(["s_client", "-starttls", "imap", "-quiet", "-no_ign_eof", "-connect"]);
//! # openssl.arg(server.local_addr().to_string()).kill_on_drop(true);
//! # openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
//! # // It is not installed everywhere.
//! # if let Ok(mut openssl) = openssl.spawn() {
//! #     openssl.stdin.as_mut().unwrap().write_all(b"c CAPABILITY\r\nd LOGOUT\r\n").await?;
//! #     let mut said = String::new();
//! #     openssl.stdout.as_mut().unwrap().read_to_string(&mut said).await?;
//! #     assert!(said.contains("* CAPABILITY IMAP4rev2 AUTH=PLAIN\r\nc OK done\r\n"), "{said}");
//! #     assert!(said.ends_with("* BYE\r\nd OK done\r\n"), "{said}");
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! ## Injected plaintext
//!
//! An attacker on the path can append bytes to a request, which a careless server takes for the
//! first ones of the encrypted session (CVE-2011-0411, CVE-2021-23222). This layer refuses a client
//! whose request for TLS is followed by anything before the answer. What arrives later is read by the
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

mod ber;
mod io;
mod layer;
mod ldap;
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
