//! Routes each connection to one of several services, by its protocol, the server name that it asks
//! for, the address that it came in on, or any other condition.
//!
//! # When to use it
//!
//! Use a [`Router`] when several protocols or several names share an address and need different
//! layers or handlers: plain clients beside TLS, HTTP/2 beside HTTP/1, one backend per server name.
//! If all connections pass through the same layers and end in the same handler, an `if` in the
//! handler does the same.
//!
//! The router checks its routes in order, and the first whose condition holds gets the connection.
//! A condition is any function of the connection. This module provides:
//!
//! | routes by | condition | requires |
//! |---|---|---|
//! | protocol | [`protocol`] | a [`SniffLayer`](crate::sniff::SniffLayer) further out |
//! | server name that a TLS client asks for (SNI), exact or with a wildcard | [`server_name`] | a `SniffLayer` further out |
//! | protocols that a TLS client offers (ALPN) | [`offers`] | a `SniffLayer` further out |
//! | JA4 fingerprint of a TLS client | [`ja4`] | a `SniffLayer` with `ja4` further out |
//! | protocol that TLS negotiated (ALPN) | [`negotiated`] | TLS further out |
//! | local address or port | [`local_addr`], [`local_port`] | |
//! | anything else | `\|conn: &Connection<_>\| …` | |
//!
//! # Position in the stack
//!
//! The router takes the place of the handler, at the end of the stack. Each route is a service,
//! which may have its own layers around it and may itself be a router. Layers that all routes share
//! belong around the router.
//!
//! # Example
//!
//! Plain and TLS clients on one port:
#![cfg_attr(feature = "tls", doc = "```")]
#![cfg_attr(not(feature = "tls"), doc = "```ignore")]
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::{
//!     route::{Router, protocol},
//!     sniff::{Protocol, SniffLayer},
//!     tls::TlsLayer,
//! };
//! use std::{io, sync::Arc};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio_rustls::{TlsConnector, rustls};
//! use tower_layer::Layer;
//!
//! async fn greet(mut conn: Connection) -> io::Result<()> {
//!     conn.read_u8().await?;
//!     let secure = conn.is_secure();
//!     conn.write_all(if secure { b"secret" } else { b"public" }).await?;
//!     conn.shutdown().await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let mut config = rustls::ServerConfig::builder().with_no_client_auth();
//! # let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
//! # let config = config.with_single_cert(vec![made.cert.der().clone()], key)?;
//! # let tls = TlsLayer::from_config(Arc::new(config));
//! // let tls = TlsLayer::from_pem_files("cert.pem", "key.pem")?;
//! let router = Router::new()
//!     .route(protocol(Protocol::Tls), tls.layer(reagent::handle(greet)))
//!     .fallback(reagent::handle(greet));
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener).layer(SniffLayer::new()).start(router).await?;
//!
//! let mut answer = String::new();
//! let mut plain = clients.connect().await?;
//! plain.write_all(b"hello").await?;
//! plain.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "public");
//!
//! # let mut roots = rustls::RootCertStore::empty();
//! # roots.add(made.cert.der().clone())?;
//! # let config = rustls::ClientConfig::builder()
//! #     .with_root_certificates(roots)
//! #     .with_no_client_auth();
//! # let connector = TlsConnector::from(Arc::new(config));
//! let stream = clients.connect().await?;
//! let mut encrypted = connector.connect("localhost".try_into()?, stream).await?;
//! answer.clear();
//! encrypted.write_all(b"hello").await?;
//! encrypted.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "secret");
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Pass-through by server name
//!
//! Connections of TLS clients are relayed to one of several servers by the name that they ask for.
//! The proxy has no certificate and cannot read what they say:
//!
#![cfg_attr(all(feature = "relay", feature = "tls"), doc = "```")]
#![cfg_attr(not(all(feature = "relay", feature = "tls")), doc = "```ignore")]
//! use reagent::{BoxError, Connection, Server, ServerHandle};
//! use reagent_layers::{
//!     relay::relay,
//!     route::{Router, server_name},
//!     sniff::SniffLayer,
//!     tls::TlsLayer,
//! };
//! use std::{net::SocketAddr, sync::Arc};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//! use tokio_rustls::{TlsConnector, rustls};
//!
//! async fn pass(conn: Connection, to: SocketAddr) -> Result<(), BoxError> {
//!     relay(conn, TcpStream::connect(to).await?).await?;
//!     Ok(())
//! }
//!
//! /// Starts a server with a certificate for this name.
//! async fn backend(name: &'static str) -> Result<(ServerHandle, rustls::RootCertStore), BoxError> {
//!     // …
//! #   let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
//! #   let mut config = rustls::ServerConfig::builder().with_no_client_auth();
//! #   let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
//! #   let config = config.with_single_cert(vec![made.cert.der().clone()], key)?;
//! #   let server = Server::bind("127.0.0.1:0")
//! #       .layer(TlsLayer::from_config(Arc::new(config)))
//! #       .start(reagent::handle(move |mut conn: Connection| async move {
//! #           conn.write_all(name.as_bytes()).await?;
//! #           conn.shutdown().await
//! #       }))
//! #       .await?;
//! #   let mut roots = rustls::RootCertStore::empty();
//! #   roots.add(made.cert.der().clone())?;
//! #   Ok((server, roots))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let (shop, shop_roots) = backend("shop.example.org").await?;
//! let (mail, mail_roots) = backend("mx1.mail.example.org").await?;
//! let addr = |server: &ServerHandle| server.local_addr().socket_addr().unwrap();
//!
//! let (to_shop, to_mail) = (addr(&shop), addr(&mail));
//! let router = Router::new()
//!     .route(
//!         server_name(["shop.example.org"])?,
//!         reagent::handle(move |conn| pass(conn, to_shop)),
//!     )
//!     .route(
//!         server_name(["*.mail.example.org"])?,
//!         reagent::handle(move |conn| pass(conn, to_mail)),
//!     );
//! let proxy = Server::bind("127.0.0.1:0").layer(SniffLayer::new()).start(router).await?;
//!
//! // Each client verifies the certificate of its own server.
//! for (name, roots) in [("shop.example.org", shop_roots), ("mx1.mail.example.org", mail_roots)] {
//!     let config = rustls::ClientConfig::builder()
//!         .with_root_certificates(roots)
//!         .with_no_client_auth();
//!     let connector = TlsConnector::from(Arc::new(config));
//!     let stream = TcpStream::connect(addr(&proxy)).await?;
//!     let mut client = connector.connect(name.try_into()?, stream).await?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).await?;
//!     assert_eq!(answer, name);
//! }
//!
//! // No route: another name, and a client without TLS.
//! # let config = rustls::ClientConfig::builder()
//! #     .with_root_certificates(rustls::RootCertStore::empty())
//! #     .with_no_client_auth();
//! # let connector = TlsConnector::from(Arc::new(config));
//! let stream = TcpStream::connect(addr(&proxy)).await?;
//! assert!(connector.connect("example.org".try_into()?, stream).await.is_err());
//! let mut plain = TcpStream::connect(addr(&proxy)).await?;
//! plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
//! assert_eq!(plain.read(&mut [0]).await.unwrap_or(0), 0);
//! # Ok(())
//! # }
//! ```
//!
//! ## Readiness
//!
//! A router is always ready. A connection first chooses its route and then waits, in its own
//! future, until a clone of that route's service is ready. Other connections are not held up
//! meanwhile. The wait is limited to 10 seconds ([`timeout`](Router::timeout)).
//!
//! A router that waited for all services in advance, as `tower::steer` does, would let the busiest
//! service hold back the clients of all others, and would reserve a place in every service for each
//! client that has yet to show what it speaks.
//!
//! As a consequence, a limit on the readiness of one route does not leave clients in the kernel's
//! accept queue. To leave them there, use `max_connections` or a limit around the router.
//!
//! # Errors
//!
//! - [`Rejected`](reagent::Rejected) with the reason `no route`: no condition held, and there is no
//!   [`fallback`](Router::fallback). [`Router::refusal`] sets what the client receives.
//! - [`TimedOut`](reagent::TimedOut) with the kind [`TIMEOUT`] (`route`): the service of the route
//!   was not ready in time.
//! - Any error of the service of the route.
//!
//! [`server_name`] returns [`InvalidServerName`] for a name that is not valid.

mod conditions;
mod future;
mod router;
mod server_names;
mod target;

pub use conditions::{ja4, local_addr, local_port, negotiated, offers, protocol};
pub use future::RouteFuture;
pub use router::Router;
pub use server_names::{InvalidServerName, server_name};
pub use target::TIMEOUT;

use router::Routes;
