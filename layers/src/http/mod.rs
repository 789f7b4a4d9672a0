//! Serves HTTP: turns a service of requests, such as an `axum::Router`, a tonic server or a stack of tower-http, into a
//! service of connections.
//!
//! # When to use it
//!
//! You have a `tower::Service<http::Request<RequestBody>>` and want it behind what this library does for connections:
//! limits that reach the accept queue, TLS, the PROXY protocol, a registry, a drain with a report. [hyper] speaks
//! HTTP/1 and HTTP/2, chosen by ALPN or by the client's first bytes. [`RequestBody`] is an [`http_body::Body`] of
//! `Bytes`, which axum, tonic and tower-http take as it is.
//!
//! Each request carries an [`HttpConnection`] as an extension, which has the connection's handle and whatever layers left
//! in its extensions, such as `TlsInfo` and `ProxyInfo`. [`HttpLayer::extensions`] adds others;
//! [`HttpLayer::connect_info`] makes axum's `ConnectInfo<SocketAddr>` work.
//!
//! # Position in the stack
//!
//! Innermost: it is what `start` is given. All other layers of connections go around it. Layers of requests (timeouts,
//! limits of bodies, compression) go around the service inside.
//!
//! # Example
//!
//! ```
//! use axum::{Extension, Router, extract::ConnectInfo, routing::get};
//! use reagent::Server;
//! use reagent_layers::http::{HttpConnection, HttpLayer};
//! use std::{net::SocketAddr, time::Duration};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//!
//! async fn hello(
//!     ConnectInfo(peer): ConnectInfo<SocketAddr>,
//!     Extension(connection): Extension<HttpConnection>,
//! ) -> String {
//!     format!("hello {}, you are connection {}", peer.ip(), connection.handle().id())
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
//! # Details
//!
//! ## Limits
//!
//! | what | default | set by |
//! |---|---|---|
//! | the first byte, and an HTTP/2 preface with its SETTINGS | 30 s | [`first_byte_timeout`](HttpLayer::first_byte_timeout) |
//! | a request's head, from its first byte to its last (HTTP/1) | 30 s | [`header_timeout`](HttpLayer::header_timeout) |
//! | no request, between two (HTTP/2: no stream open) | 75 s | [`keep_alive_timeout`](HttpLayer::keep_alive_timeout) |
//! | the client keeps a body waiting, its request's or its answer's | 60 s | [`stream_idle_timeout`](HttpLayer::stream_idle_timeout) |
//! | no byte in either direction, once upgraded | 1 h | [`upgraded_idle_timeout`](HttpLayer::upgraded_idle_timeout) |
//! | bytes of a head | 32 KiB | [`max_header_bytes`](HttpLayer::max_header_bytes) |
//! | lines of a head (HTTP/1) | 100 | [`max_headers`](HttpLayer::max_headers) |
//! | streams at once (HTTP/2) | 200 | [`max_concurrent_streams`](HttpLayer::max_concurrent_streams) |
//! | a ping and its answer (HTTP/2) | every 60 s, 20 s | [`http2`](HttpLayer::http2) |
//! | streams reset before they were served, and for the client's errors (HTTP/2) | 20, 1,024 | [`http2`](HttpLayer::http2) |
//!
//! A head that is too large is answered with 431 and a close. CONTINUATION frames are bounded by the bytes of a
//! head. The limits cost a connection one timer, which is set no more often than the shortest of them passes; a request
//! sets none, and an HTTP/2 stream sets one once its client keeps it waiting.
//!
//! **The size of a body and its pace are not bounded here,** since only the service knows what it expects: it is read no
//! faster than the service asks for it. `min_rate` of
//! [`TimeoutsLayer`](https://docs.rs/tower-reagent-layers/latest/reagent_layers/timeout/) around this layer ends
//! connections that are slow, tower-http's `RequestBodyTimeoutLayer` inside bounds a body's time, and
//! `RequestBodyLimitLayer`, or axum's `DefaultBodyLimit` of 2 MB, its size.
//!
//! **`idle` of `TimeoutsLayer` is for other protocols:** set it to `None` around this layer. It would end a long poll or a
//! silent WebSocket, which the limits above tell from a client that does nothing.
//!
//! ## Clients that may be surprised
//!
//! - **Who ends its side after a request (HTTP/1) gets no answer,** since hyper takes that for a client that left:
//!   `http1(|http1| { http1.half_close(true); })` answers it, and then a handler does not hear of a client that left
//!   before it writes.
//! - **Many tiny DATA frames at once (HTTP/2)** end the connection with ENHANCE_YOUR_CALM: h2 counts a frame below 256
//!   bytes that waits to be read as 256, against half of the connection's window. That is 2,000 of one byte; a larger
//!   window, by [`http2`](HttpLayer::http2), allows more.
//!
//! ## Memory
//!
//! An HTTP/1 connection holds up to about 400 KiB of an answer, and of a request what the service is about to read. An
//! HTTP/2 connection holds up to 1 MiB of requests (the connection's window) and for each stream up to 80 KiB of an
//! answer (h2's buffer of 64 KiB and one piece of 16 KiB): 16 MiB with 200 streams, and only if the client grants a
//! window for it and then reads nothing, which ends the connection after the stream idle limit. A client that grants no
//! window makes the connection hold what the services have already made, one chunk for each stream, for as long as that
//! limit. `max_concurrent_streams` and, by [`http2`](HttpLayer::http2), `max_send_buf_size` and the window sizes change
//! these numbers.
//!
//! ## Differences from hyper's own server
//!
//! - **Nothing outlives the connection.** The streams of an HTTP/2 connection are polled by its own future: when
//!   it is aborted or its client leaves, they are dropped. So they share a thread; see
//!   [`parallel_streams`](HttpLayer::parallel_streams).
//! - **A panic** ends an HTTP/1 connection. On an HTTP/2 connection it ends the stream; the others finish, new
//!   ones are refused by GOAWAY, and the outcome has the panic.
//! - **Host**: a request of HTTP/1.1 without exactly one valid `Host`, or one of HTTP/2 whose `Host` is not its
//!   `:authority`, is answered with 400.
//! - **Smuggling**: the connection closes after a request with `Transfer-Encoding` (HTTP/1), as RFC 9112, 6.1,
//!   demands where a `Content-Length` stands beside it.
//! - **The last answer arrives and says so**: an answer to a request whose body was not read carries
//!   `Connection: close`, unless the rest of the body has arrived already and is short. The close then lingers (see
//!   [`reagent::Linger`]), since a close while the client is still sending would reset it.
//!
//! ## Drain
//!
//! Requests in flight are finished, with `Connection: close` or after a GOAWAY; idle connections close. With HTTP/1
//! an idle connection stays until a second has passed since its last answer or, before the first, since the drain
//! began: so a client that sends one request after another gets `Connection: close` in an answer, and meets no close that
//! its next request would cross. A client whose request crosses the close of a connection that was idle for longer has to
//! repeat it on another, as RFC 9112, 9.3.1, expects of clients; with HTTP/2 even that cannot happen.
//!
//! A connection that was upgraded (a WebSocket) keeps its place under the limit and in the registry until its stream
//! is dropped, can be aborted, and hears of the drain by
//! [`ConnectionHandle::draining`](reagent::ConnectionHandle::draining).
//!
//! # Errors
//!
//! [`TimedOut`](reagent::TimedOut) with a kind of [`kind`]; [`hyper::Error`] for clients that break the
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
