//! Serves HTTP: makes a service of connections of any service of requests, such as an `axum::Router`, a tonic
//! server or a stack of tower-http.
//!
//! # When
//!
//! You have a `tower::Service<http::Request<hyper::body::Incoming>>` and want it behind what this library does
//! for connections: limits that reach the accept queue, TLS, the PROXY protocol, a registry, a drain with a
//! report. [hyper] speaks HTTP/1 and HTTP/2, by ALPN or by the client's first bytes.
//!
//! Each request carries, as extensions, the [`ConnectionHandle`](reagent::ConnectionHandle), an `Arc` of the
//! [`ConnectionInfo`](reagent::ConnectionInfo) as it was when HTTP began, and, where these layers are and have
//! something to say, `TlsInfo` and `ProxyInfo`. [`HttpLayer::extensions`] adds others;
//! [`HttpLayer::connect_info`] makes axum's `ConnectInfo<SocketAddr>` work.
//!
//! # Where in the stack
//!
//! Innermost: it is what `start` is given. Everything else goes around it. Layers of requests (timeouts,
//! limits of bodies, compression) go around the service inside.
//!
//! # Limits
//!
//! | what | default | set by |
//! |---|---|---|
//! | the first byte | 30 s | [`first_byte_timeout`](HttpLayer::first_byte_timeout) |
//! | a request's head, from its first byte to its last (HTTP/1) | 30 s | [`header_timeout`](HttpLayer::header_timeout) |
//! | no request, between two (HTTP/2: no stream open) | 75 s | [`keep_alive_timeout`](HttpLayer::keep_alive_timeout) |
//! | bytes of a head | 32 KiB | [`max_header_bytes`](HttpLayer::max_header_bytes) |
//! | lines of a head (HTTP/1) | 100 | [`max_headers`](HttpLayer::max_headers) |
//! | streams at once (HTTP/2) | 200 | [`max_concurrent_streams`](HttpLayer::max_concurrent_streams) |
//! | a ping and its answer (HTTP/2) | every 60 s, 20 s | [`http2`](HttpLayer::http2) |
//! | streams reset before they were served, and for the client's errors (HTTP/2) | 20, 1,024 | [`http2`](HttpLayer::http2) |
//!
//! A head that is too large is answered with 431 and a close. CONTINUATION frames are bounded by the bytes of a
//! head. They cost a connection one timer, which is set no more often than the shortest of them passes; a request
//! sets none.
//!
//! **A body is not bounded here,** since only the service knows what it expects: it is read no faster than the
//! service asks for it, so it takes no memory, but it may stall for ever or never end. Time belongs to
//! [`TimeoutsLayer`](https://docs.rs/tower-reagent-layers/latest/reagent_layers/timeout/) around this layer (its
//! `idle` of 10 minutes is on by default, as is its `write` for clients that do not read; `min_rate` ends the
//! slow) or to tower-http's `RequestBodyTimeoutLayer` inside; size to `RequestBodyLimitLayer`, or to axum's
//! `DefaultBodyLimit` of 2 MB, inside.
//!
//! # What else differs from hyper's own server
//!
//! - **Nothing outlives the connection.** The streams of an HTTP/2 connection are polled by its own future: when
//!   it is aborted or its client leaves, they are dropped. So they share a thread; see
//!   [`parallel_streams`](HttpLayer::parallel_streams).
//! - **A panic** ends an HTTP/1 connection. Of an HTTP/2 connection it ends the stream; the others finish, new
//!   ones are refused by GOAWAY, and the outcome tells of the panic.
//! - **Smuggling**: the connection closes after a request with `Transfer-Encoding` (HTTP/1), as RFC 9112, 6.1,
//!   demands where a `Content-Length` stands beside it.
//! - **The last answer arrives**: a client that is still sending when it is answered and closed (413, 431) is
//!   listened to for up to 2 seconds, since a close would reset it.
//!
//! # Drain
//!
//! Requests in flight are finished, with `Connection: close` or after a GOAWAY; idle connections close. With HTTP/1
//! an idle connection stays until a second has passed since its last answer or, before the first, since the drain
//! began: so a client that asks again and again is told `Connection: close` in an answer, and meets no close that
//! its next request would cross. Who asks at the very instant in which a connection closes that was idle for longer
//! is to ask anew by another, as RFC 9112, 9.3.1, expects of clients; with HTTP/2 even that cannot happen.
//!
//! A connection that was upgraded (a WebSocket) keeps its place under the limit and in the registry until its stream
//! is dropped, can be aborted, and hears of the drain by
//! [`ConnectionHandle::draining`](reagent::ConnectionHandle::draining).
//!
//! # Example
//!
//! ```
//! use axum::{Extension, Router, extract::ConnectInfo, routing::get};
//! use reagent::{ConnectionHandle, Server};
//! use reagent_layers::http::HttpLayer;
//! use std::{net::SocketAddr, time::Duration};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//!
//! async fn hello(
//!     ConnectInfo(peer): ConnectInfo<SocketAddr>,
//!     Extension(connection): Extension<ConnectionHandle>,
//! ) -> String {
//!     format!("hello {}, you are connection {}", peer.ip(), connection.id())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let server = Server::bind("127.0.0.1:0")
//!     .max_connections(10_000)
//!     .layer(HttpLayer::new().connect_info(ConnectInfo))
//!     .start(Router::new().route("/", get(hello)))
//!     .await?;
//!
//! let mut client = TcpStream::connect(server.local_addr().socket_addr().unwrap()).await?;
//! client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.ends_with("hello 127.0.0.1, you are connection 1"));
//! # server.drain(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`TimedOut`](reagent::TimedOut) of the kind `first byte`, `http header`, `http ping` (an HTTP/2 client that is
//! gone) or `http close` (one that was told to go and did not); [`hyper::Error`] for clients that break the
//! protocol or leave in the middle of a request, and for a service that fails. An idle connection that is
//! closed, by whichever side, has completed.

mod activity;
mod answer;
mod config;
mod conn_service;
mod connection;
mod deadlines;
mod error;
mod executor;
mod future;
mod host;
mod io;
mod layer;
mod protocol;
mod request_body;
mod service;
mod stall;
mod version;

use config::Config;

pub use connection::HttpConnection;
pub use error::kind;
pub use executor::StreamExecutor;
pub use future::HttpFuture;
/// The HTTP library, since its types are part of this module's.
pub use hyper;
pub use io::HttpIo;
pub use layer::HttpLayer;
pub use request_body::RequestBody;
pub use service::Http;
