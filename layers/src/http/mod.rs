//! Serves HTTP: turns an HTTP service, such as an `axum::Router`, a tonic server or a tower-http
//! stack, into a connection service.
//!
//! # When to use it
//!
//! Use it when you have a `tower::Service<http::Request<RequestBody>>` and want what this library
//! does for connections: limits that reach the accept queue, TLS, the PROXY protocol, a registry of
//! connections, a drain with a report. [hyper] speaks HTTP/1 and HTTP/2; ALPN or the client's first
//! bytes decide which. [`RequestBody`] is an [`http_body::Body`] of `Bytes`, which axum, tonic and
//! tower-http accept as it is.
//!
//! Each request carries an [`HttpConnection`] as an extension. It has the handle of the connection
//! and whatever outer layers have left in its extensions, such as `TlsInfo` and `ProxyInfo`. To add
//! other extensions, use [`HttpLayer::extensions`]; for axum's `ConnectInfo<SocketAddr>`,
//! [`HttpLayer::connect_info`].
//!
//! # Position in the stack
//!
//! Innermost: all other connection layers go around it, and the HTTP service is passed to `start`.
//! HTTP layers (timeouts, limits on bodies, compression) go around that service.
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
//! | limit | default | set by |
//! |---|---|---|
//! | time to the first byte, and to a complete HTTP/2 preface with its SETTINGS | 30 s | [`first_byte_timeout`](HttpLayer::first_byte_timeout) |
//! | time from the first byte of a request's head to its last (HTTP/1) | 30 s | [`header_timeout`](HttpLayer::header_timeout) |
//! | idle time between two requests (HTTP/1), or without an open stream (HTTP/2) | 75 s | [`keep_alive_timeout`](HttpLayer::keep_alive_timeout) |
//! | time for which a client keeps a body waiting, that of a request or of its response | 60 s | [`stream_idle_timeout`](HttpLayer::stream_idle_timeout) |
//! | time without a byte in either direction, after an upgrade | 1 h | [`upgraded_idle_timeout`](HttpLayer::upgraded_idle_timeout) |
//! | size of a request's head | 32 KiB | [`max_header_bytes`](HttpLayer::max_header_bytes) |
//! | number of header fields (HTTP/1) | 100 | [`max_headers`](HttpLayer::max_headers) |
//! | number of open streams (HTTP/2) | 200 | [`max_concurrent_streams`](HttpLayer::max_concurrent_streams) |
//! | interval of pings, and time to answer one (HTTP/2) | 60 s, 20 s | [`http2`](HttpLayer::http2) |
//! | number of streams reset by the client before they were served, and reset for its errors (HTTP/2) | 20, 1,024 | [`http2`](HttpLayer::http2) |
//!
//! A head that is too large is answered with 431 and a close. CONTINUATION frames count towards the
//! size of a head.
//!
//! The first bytes of a connection, and the head of its first request (HTTP/1), share the time of
//! [`Server::opening_timeout`](reagent::Server::opening_timeout) with the opening steps of outer
//! layers, such as a TLS handshake.
//!
//! All time limits of a connection share one timer, which is set at most once within the shortest
//! of them. A request sets no timer, and an HTTP/2 stream sets one only once its client keeps it
//! waiting.
//!
//! The time limits can be tried in a [`DryRun`](crate::DryRun) before they are enforced.
//!
//! **The size and the pace of a body are not limited here,** since only the service knows what it
//! expects. A body is read no faster than the service asks for it. To limit it:
//!
//! - `min_rate` of [`TimeoutsLayer`], around this layer, ends connections that are too slow.
//! - tower-http's `RequestBodyTimeoutLayer`, inside, limits the time of a body.
//! - tower-http's `RequestBodyLimitLayer`, inside, limits its size. So does axum's
//!   `DefaultBodyLimit` of 2 MB.
//!
//! **Set `idle` of [`TimeoutsLayer`] to `None` around this layer.** It is meant for other
//! protocols, and would end a long poll or a silent WebSocket. The limits above can tell those from
//! a client that does nothing.
//!
//! ## Surprises for clients
//!
//! - **Half-close (HTTP/1).** A client that shuts down its side after a request gets no response,
//!   since hyper mistakes it for a client that left. With
//!   `http1(|http1| { http1.half_close(true); })` it is answered, but then a handler does not
//!   notice a client that left until it writes.
//! - **Many tiny DATA frames at once (HTTP/2)** end the connection with ENHANCE_YOUR_CALM. A frame
//!   of fewer than 256 bytes that waits to be read counts as 256 bytes in h2, against half of the
//!   connection's window. So 2,000 frames of one byte are enough. A larger window, set by
//!   [`http2`](HttpLayer::http2), allows more.
//!
//! ## Memory
//!
//! An HTTP/1 connection holds up to about 400 KiB of a response. Of a request, it holds what the
//! service is about to read.
//!
//! An HTTP/2 connection holds up to 1 MiB of requests, which is the window of the connection. For
//! each stream it holds up to 80 KiB of a response: h2's buffer of 64 KiB and one piece of 16 KiB.
//! With 200 streams that is 16 MiB, but only for a client that grants a window of that size and
//! then reads nothing. Such a connection ends after
//! [`stream_idle_timeout`](HttpLayer::stream_idle_timeout). A client that grants no window makes
//! the connection hold what the services have already produced, one chunk per stream, for as long
//! as that limit.
//!
//! [`max_concurrent_streams`](HttpLayer::max_concurrent_streams) and, by
//! [`http2`](HttpLayer::http2), `max_send_buf_size` and the window sizes change these numbers.
//!
//! ## Differences from hyper's own server
//!
//! - **Nothing outlives the connection.** The streams of an HTTP/2 connection are polled by the
//!   future of the connection. When it is aborted or its client leaves, they are dropped. So they
//!   share a thread, unless [`parallel_streams`](HttpLayer::parallel_streams) is set.
//! - **Panics.** A panic ends an HTTP/1 connection. On an HTTP/2 connection it ends the stream; the
//!   other streams finish, new ones are refused by GOAWAY, and the outcome of the connection is the
//!   panic.
//! - **Host.** A request of HTTP/1.1 without exactly one valid `Host`, or of HTTP/2 with a `Host`
//!   that differs from its `:authority`, is answered with 400.
//! - **Smuggling.** The connection is closed after a request with `Transfer-Encoding` (HTTP/1), as
//!   RFC 9112, section 6.1, demands of one that also has a `Content-Length`.
//! - **The last response arrives and is marked as such.** A response to a request whose body was
//!   not read carries `Connection: close`, unless the rest of the body is short and has already
//!   arrived. The close then lingers (see [`reagent::Linger`]), since closing while the client is
//!   still sending would reset the connection.
//!
//! ## Drain
//!
//! Requests in flight are finished, with `Connection: close` (HTTP/1) or after a GOAWAY (HTTP/2).
//! Idle connections are closed.
//!
//! An idle HTTP/1 connection is closed once a second has passed since its last response or, if it
//! has none, since the drain began. So a client that sends one request after another gets
//! `Connection: close` in a response, rather than a close that crosses its next request. A client
//! that was idle for longer may still send a request that crosses the close. It has to repeat that
//! request on another connection, as RFC 9112, section 9.3.1, expects of clients. With HTTP/2 this
//! cannot happen.
//!
//! An upgraded connection, such as a WebSocket, keeps its place under the limits and in the
//! registry until its stream is dropped. It can be aborted, and it learns of the drain by
//! [`ConnectionHandle::draining`](reagent::ConnectionHandle::draining).
//!
//! # Errors
//!
//! A connection ends with one of these errors:
//!
//! - [`TimedOut`](reagent::TimedOut), with a kind from [`kind`].
//! - [`hyper::Error`], if the client violates the protocol or leaves in the middle of a request, or
//!   if the service fails. If the client is to blame, the connection has the label `error.type`:
//!   `http_flood` if it exceeded a limit of HTTP/2, such as that on the streams that it may reset,
//!   and `http_malformed` otherwise.
//!
//! An idle connection that is closed, by either side, has completed without an error.
//!
//! [`TimeoutsLayer`]: https://docs.rs/tower-reagent-layers/latest/reagent_layers/timeout/

/// The name of this layer in reports of dry runs.
const LAYER: &str = "http";

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
/// The HTTP library, re-exported since its types are part of this API.
pub use hyper;
pub use io::HttpIo;
pub use layer::HttpLayer;
pub use request_body::RequestBody;
pub use service::Http;
