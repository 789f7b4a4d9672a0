//! Connects to upstreams: resolves names, tries several addresses at once, and begins TLS.
//!
//! # When to use it
//!
//! Use it in a proxy, instead of [`TcpStream::connect`](tokio::net::TcpStream::connect). That tries
//! the addresses of a name one after the other, so a name whose first address does not answer is
//! not reached for two minutes. [`Connect`] tries the next address after a quarter of a second, and
//! adds what a proxy needs: limits, a cache of names, Unix sockets, options of the socket, TLS, the
//! PROXY header, and an error that says what was tried.
//!
//! # Position in the stack
//!
//! It is not a layer. The handler calls it and passes its stream to a `relay`:
//!
//! - `Relay` accepts an [`UpstreamIo`] of any kind, with the resets, half-closes and deliveries of
//!   plain TCP.
//! - [`Connect`] is a [`tower::Service`](tower_service::Service). Around it belong tower's own
//!   layers, such as `ConcurrencyLimitLayer` for the connections that are being made, or `RetryLayer`.
//!
//! # Example
//!
//! A proxy in front of a name:
//!
//! ```
//! use reagent::{BoxError, Connection, Server};
//! use reagent_layers::connect::{Connect, Target};
//! # use reagent_layers::connect::{Resolve, Resolved};
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[derive(Debug)]
//! # struct Fixed;
//! # impl Resolve for Fixed {
//! #     async fn resolve(&self, _: &str) -> Result<Resolved, BoxError> {
//! #         // Nobody listens at the first address.
//! #         Ok(Resolved::new(["[::1]:0".parse()?, "127.0.0.1:0".parse()?]))
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let shout = Server::bind("127.0.0.1:0")
//! #     .start(reagent::handle(|mut conn: Connection| async move {
//! #         let mut text = String::new();
//! #         conn.read_to_string(&mut text).await?;
//! #         conn.write_all(text.to_uppercase().as_bytes()).await
//! #     }))
//! #     .await?;
//! # let port = shout.local_addr().port().expect("a TCP address");
//! let connect = Connect::new().timeout(Duration::from_secs(5));
//! # let connect = connect.resolver(Fixed);
//! // At most 100 connections are being made at a time, and further ones wait.
//! let connect = ServiceBuilder::new().concurrency_limit(100).service(connect);
//! let target: Target = "db.example.org:5432".parse()?;
//! # let target = Target::host("db.example.org", port)?;
//!
//! let proxy = Server::bind("127.0.0.1:0")
//!     .start(reagent::handle(move |mut conn: Connection| {
//!         let (connect, target) = (connect.clone(), target.clone());
//!         async move {
//!             let mut upstream = connect.oneshot(target).await?;
//!             // Or `relay`, with the feature of that name.
//!             tokio::io::copy_bidirectional(&mut conn, &mut upstream).await?;
//!             Ok::<_, BoxError>(())
//!         }
//!     }))
//!     .await?;
//!
//! let mut client = tokio::net::TcpStream::connect(proxy.local_addr().to_string()).await?;
//! client.write_all(b"is anybody there?").await?;
//! client.shutdown().await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "IS ANYBODY THERE?");
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Limits
//!
//! | limit | default | setting |
//! |---|---|---|
//! | the whole connection, from the name to TLS | 10 s | [`Connect::timeout`] |
//! | the attempt to connect to one address | 5 s | [`Connect::attempt_timeout`] |
//! | before the next address is tried as well | 250 ms, from 100 ms to 2 s | [`Connect::attempt_delay`] |
//! | addresses of a name that are tried | 16 | [`Connect::max_addresses`] |
//! | lookups of the system at the same time | 32 | [`System::with_lookups`] |
//! | names that are remembered | 1,024 | [`Cached::max_names`] |
//!
//! ## Names
//!
//! [`System`] asks the operating system for every connection. [`Cached`] remembers answers for a
//! time, also while the name server fails. Any other source of addresses implements [`Resolve`].
//!
//! ## Addresses
//!
//! The addresses of a name are tried as RFC 8305 ("Happy Eyeballs") has it:
//!
//! - The order is that of the resolver, RFC 6724 for that of the system, with the families in turn,
//!   beginning with that of the first address (section 4).
//! - An attempt begins when the last one has failed or is not answered within the attempt delay.
//!   The first connection is used, and the other sockets are closed (section 5).
//!
//! It deviates in three points. Addresses of both families are looked up together, so there is no
//! resolution delay (section 3). The result of earlier connections has no influence on the order.
//! TLS begins once a race is decided: an address that accepts connections and then fails is not
//! replaced by another.
//!
//! ## Upstreams that reset
//!
//! A server that has too many clients may accept a connection, answer and reset it at once. On
//! Linux, the stream then has the answer and after it the reset, also if the preface could no longer
//! be sent. Tokio's `TcpStream::connect` loses the answer if the reset arrives before it looks at
//! the socket. If there is no answer, the attempt has failed: nothing was sent to the upstream, so
//! another one may be tried.
//!
//! ## Unix sockets
//!
//! If the queue of a Unix socket is full, the system refuses a connection instead of letting it
//! wait. It is tried again every 20 ms within the overall limit.
//!
//! ## PROXY headers
//!
//! A [`ConnectRequest`] has a [preface](ConnectRequest::preface), bytes that are sent before TLS.
//! With the feature `proxy_protocol`, `Header::of` makes the header for a connection:
//!
#![cfg_attr(feature = "proxy_protocol", doc = "```")]
#![cfg_attr(not(feature = "proxy_protocol"), doc = "```ignore")]
//! use reagent::{BoxError, Connection};
//! use reagent_layers::{
//!     connect::{Connect, ConnectRequest, Target, UpstreamIo},
//!     proxy_protocol::Header,
//! };
//! use tower::ServiceExt;
//!
//! async fn connect(
//!     connect: Connect,
//!     conn: &Connection,
//!     target: Target,
//! ) -> Result<UpstreamIo, BoxError> {
//!     let header = Header::of(conn).checksum().encode()?;
//!     let request = ConnectRequest::new(target).preface(header);
//!     Ok(connect.oneshot(request).await?)
//! }
//! ```
//!
//! ## TLS
//!
//! With the feature `connect_tls`, `Connect::tls` encrypts connections as a `TlsClient` says:
//! authorities, names, ALPN, a client certificate and revocation lists, from files that can be
//! reloaded. Without lists, sessions are resumed, for which the certificate of the upstream is not
//! verified again until the files are reloaded.
//!
//! # Errors
//!
//! [`ConnectError`] has the step that failed, the time it took, and every address that was tried
//! with its own error:
//!
//! ```text
//! cannot connect to db.example.org:5432 within 5.0s: 192.0.2.1:5432: no answer after 5.0s;
//! [2001:db8::1]:5432: Connection refused (os error 111) after 250.3ms
//! ```
//!
//! Its source is the error of the resolver, of TLS (`TlsClientError`) or of the socket.
//!
//! # Cancel safety
//!
//! Dropping the future of a connection closes everything that it has opened. A lookup of the system
//! goes on in its thread, and still counts as one.

mod attempts;
mod error;
mod establish;
mod open;
mod order;
mod plain;
mod race;
mod request;
mod resolve;
mod service;
mod settings;
mod socket;
mod stream;
mod target;
#[cfg(feature = "connect_tls")]
mod tls;
mod unix;

pub use attempts::FailedAttempt;
pub use error::{ConnectError, ConnectErrorKind};
pub use request::ConnectRequest;
pub use resolve::{CacheDriver, Cached, Resolve, Resolved, System};
pub use service::{Connect, ConnectFuture};
pub use stream::UpstreamIo;
pub use target::{InvalidTarget, Target};
#[cfg(feature = "connect_tls")]
pub use tls::{TlsClient, TlsClientBuilder, TlsClientError, TlsClientErrorKind};
