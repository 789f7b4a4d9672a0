//! Sends each connection to one of several services: by what it speaks, whom it asks for, where it came in, or
//! whatever else a function can tell.
//!
//! # When to use it
//!
//! Several protocols, or several names, share an address and need different handling: plain clients beside TLS,
//! HTTP/2 beside HTTP/1, one backend for each server name. Where the streams of all connections go through the same
//! layers and the same handler, an `if` in the handler does it as well.
//!
//! A [`Router`] asks its routes in their order, and the first whose condition holds gets the connection. A condition
//! is any function of the connection; there are some ready:
//!
//! | by | condition | needs |
//! |---|---|---|
//! | what is spoken | [`protocol`] | a [`SniffLayer`](crate::sniff::SniffLayer) further out |
//! | the name a TLS client asks for | [`server_name`], exact or with a wildcard | the same |
//! | the protocols it offers (ALPN) | [`offers`] | the same |
//! | the protocol agreed on (ALPN) | [`negotiated`] | TLS further out |
//! | where it came in | [`local_addr`], [`local_port`] | |
//! | anything | `\|conn: &Connection<_>\| …` | |
//!
//! # Position in the stack
//!
//! It is where the stack ends: it stands in the place of the handler, and each route is a service, which may have
//! layers around it. What all have in common belongs outside of the router, and a router may be the
//! service of a route.
//!
//! **Readiness.** A router is always ready. Only when a connection has chosen, it waits in its own future for a clone
//! of the service that it chose, for 10 seconds at most ([`timeout`](Router::timeout)), and others pass it. To
//! wait for all services beforehand, as `tower::steer` does, would let the busiest of them hold back the clients of
//! all others, and would let each client that has yet to say what it speaks occupy a place in every one of them. So
//! what limits one route by its readiness does not leave clients in the kernel's queue; `max_connections` does, and
//! a limit around the router.
//!
//! # Example
//!
//! Plain and TLS on one port:
//!
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
//! # let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
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
//! # Errors
//!
//! - [`Rejected`](reagent::Rejected) for `no route`: no condition holds, and there is no
//!   [`fallback`](Router::fallback). [`Router::refusal`] sets what the client receives.
//! - [`TimedOut`](reagent::TimedOut) for `route`: the service that was chosen was not ready in time.
//! - What the service that was chosen ends with.
//!
//! [`InvalidServerName`] is the error of [`server_name`].

mod conditions;
mod future;
mod router;
mod server_names;
mod target;

pub use conditions::{local_addr, local_port, negotiated, offers, protocol};
pub use future::RouteFuture;
pub use router::Router;
pub use server_names::{InvalidServerName, server_name};
pub use target::TIMEOUT;

use router::Routes;
