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

mod config;
mod executor;
mod future;
mod head;
mod io;
mod life;
mod linger;
mod outcome;
mod protocol;
mod requests;
mod service;
mod version;

pub use executor::StreamExecutor;
pub use future::HttpFuture;
/// The HTTP library, since its types are part of this module's.
pub use hyper;
pub use io::HttpIo;
pub use service::Http;

use ::http::Extensions;
use config::Config;
use hyper::server::conn::{http1, http2};
use reagent::ConnectionParts;
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use tower_layer::Layer;
use version::Version;

/// A layer that serves HTTP. Whatever it is told, it is told before it is given to a server.
#[derive(Clone, Default)]
pub struct HttpLayer {
    config: Arc<Config>,
}

impl HttpLayer {
    /// A layer with the limits of the [module's table](self#limits).
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Serves HTTP/1 alone, whatever ALPN and the client say.
    pub fn http1_only(self) -> Self {
        self.change(|config| config.version = Version::Http1)
    }

    /// Serves HTTP/2 alone, whatever ALPN and the client say.
    pub fn http2_only(self) -> Self {
        self.change(|config| config.version = Version::Http2)
    }

    /// How long a client may take to send anything at all, or a whole HTTP/2 preface. Default 30 s.
    pub fn first_byte_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.first_byte = limit.into())
    }

    /// How long a request's head may take from its first byte to its last, with HTTP/1. Such a client gets no
    /// answer. It is also how long a client may take to go that was told to. Default 30 s.
    pub fn header_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.header = limit.into())
    }

    /// How long a connection may stay open without a request. Default 75 s.
    ///
    /// With HTTP/2 it is ended by GOAWAY, so that no request is lost that comes at that moment.
    pub fn keep_alive_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.keep_alive = limit.into())
    }

    /// How many bytes a request's head may have: in HTTP/1 the request line and the fields (431 otherwise), in
    /// HTTP/2 as RFC 9113, 6.5.2, counts them. Default 32 KiB.
    pub fn max_header_bytes(self, max: u32) -> Self {
        self.http1(|http1| {
            http1.max_header_size(max as usize);
        })
        .http2(move |http2| {
            http2.max_header_list_size(max);
        })
    }

    /// How many fields a request's head may have with HTTP/1 (431 otherwise). Default 100; any other number
    /// costs each request an allocation.
    pub fn max_headers(self, max: usize) -> Self {
        self.http1(|http1| {
            http1.max_headers(max);
        })
    }

    /// How many requests an HTTP/2 client may have open at once. Default 200.
    pub fn max_concurrent_streams(self, max: u32) -> Self {
        self.http2(move |http2| {
            http2.max_concurrent_streams(max);
        })
    }

    /// Whether the streams of an HTTP/2 connection are tasks of their own, which run on all threads, instead of
    /// parts of its task. Default no.
    ///
    /// As parts they cost less and end with the connection, at the same instant. As tasks they can use more
    /// than one core for a connection, which is right where few clients send many requests that compute, such as
    /// a proxy that gathers them; they are aborted when their connection ends, and one that is running just then
    /// gets to its next `await`.
    pub fn parallel_streams(self, in_parallel: bool) -> Self {
        self.change(|config| config.parallel_streams = in_parallel)
    }

    /// Sets any other option of hyper for HTTP/1. Its `timer` and `header_read_timeout` are the layer's.
    pub fn http1(self, options: impl FnOnce(&mut http1::Builder)) -> Self {
        self.change(|config| {
            options(&mut config.http1);
            config.http1.header_read_timeout(None);
        })
    }

    /// Sets any other option of hyper for HTTP/2, for each connection. Its `timer` is the layer's.
    pub fn http2(
        self,
        options: impl Fn(&mut http2::Builder<StreamExecutor>) + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.http2.push(Arc::new(options)))
    }

    /// Adds extensions to all requests of a connection; called once for each connection.
    ///
    /// ```
    /// # use reagent_layers::http::HttpLayer;
    /// #[derive(Clone)]
    /// struct Listener(reagent::Addr);
    ///
    /// HttpLayer::new().extensions(|connection, extensions| {
    ///     extensions.insert(Listener(connection.handle.listener_addr().clone()));
    /// });
    /// ```
    pub fn extensions(
        self,
        add: impl Fn(&ConnectionParts, &mut Extensions) + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.extensions.push(Arc::new(add)))
    }

    /// Adds what `wrap` makes of the client's address, which is the one that a PROXY header named, if it is one
    /// of IP: given `axum::extract::ConnectInfo`, axum's extractor of that name works.
    pub fn connect_info<T>(self, wrap: fn(SocketAddr) -> T) -> Self
    where
        T: Clone + Send + Sync + 'static,
    {
        self.extensions(move |connection, extensions| {
            if let Some(addr) = connection.handle.peer_addr().socket_addr() {
                extensions.insert(wrap(addr));
            }
        })
    }
}

impl<S> Layer<S> for HttpLayer {
    type Service = Http<S>;

    fn layer(&self, service: S) -> Self::Service {
        Http {
            service,
            config: self.config.clone(),
        }
    }
}

impl fmt::Debug for HttpLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLayer")
            .field("first_byte_timeout", &self.config.first_byte)
            .field("header_timeout", &self.config.header)
            .field("keep_alive_timeout", &self.config.keep_alive)
            .finish_non_exhaustive()
    }
}
