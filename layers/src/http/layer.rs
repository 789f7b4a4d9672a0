//! The layer that serves HTTP, and its settings.

use super::{Config, Http, StreamExecutor, version::Version};
use crate::DryRun;
use ::http::Extensions;
use hyper::server::conn::{http1, http2};
use reagent::ConnectionParts;
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use tower_layer::Layer;

/// A layer that serves HTTP. Configure it before passing it to a server.
///
/// In the methods that set a time limit, `None` means no limit.
#[derive(Clone, Default)]
pub struct HttpLayer {
    config: Arc<Config>,
}

impl HttpLayer {
    /// Creates a layer with the limits of the [module's table](super#limits).
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Serves HTTP/1 only, whatever ALPN and the client say. By default both versions are served.
    pub fn http1_only(self) -> Self {
        self.change(|config| config.version = Version::Http1)
    }

    /// Serves HTTP/2 only, whatever ALPN and the client say. By default both versions are served.
    pub fn http2_only(self) -> Self {
        self.change(|config| config.version = Version::Http2)
    }

    /// Sets how long a client may take to send its first byte, or a complete HTTP/2 preface with
    /// its SETTINGS. The default is 30 s, as for `first_byte` of the `timeout` layer.
    ///
    /// A connection above the limit ends with [`kind::FIRST_BYTE`](super::kind::FIRST_BYTE) if the
    /// client has sent nothing, and otherwise with [`kind::HEADER`](super::kind::HEADER).
    pub fn first_byte_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.first_byte = limit.into())
    }

    /// Sets how long the head of a request may take from its first byte to its last, with HTTP/1.
    /// The default is 30 s, as in hyper.
    ///
    /// A connection above the limit ends with [`kind::HEADER`](super::kind::HEADER). The client
    /// gets no response.
    ///
    /// It is also how long an HTTP/2 client may take to leave after a GOAWAY.
    pub fn header_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.header = limit.into())
    }

    /// Sets how long a connection may stay open without a request. The default is 75 s, as nginx's
    /// `keepalive_timeout`.
    ///
    /// With HTTP/2 the connection is ended by GOAWAY, so that a request which comes at that moment
    /// is not lost.
    pub fn keep_alive_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.keep_alive = limit.into())
    }

    /// Sets how long a request may wait for its client. The default is 60 s, as nginx's
    /// `client_body_timeout` and `send_timeout`.
    ///
    /// A request waits for its client while the service reads a body and the next piece has not
    /// come, and while the client does not take a piece of the response. With HTTP/2, such a piece
    /// has up to 16 KiB.
    ///
    /// - With HTTP/1, the connection ends with [`kind::STREAM_IDLE`](super::kind::STREAM_IDLE).
    /// - With HTTP/2, the stream is reset (CANCEL) and the others go on. If the client reads
    ///   nothing at all, the connection ends with [`kind::STREAM_IDLE`](super::kind::STREAM_IDLE).
    ///
    /// A connection that ends this way is reset, since the system would otherwise keep unread bytes
    /// for as long as the client likes.
    ///
    /// The limit measures the client, not the service: a handler that computes, a long poll and a
    /// response that pauses for hours are not affected. Pings, settings and other frames that carry
    /// no byte of a body do not count as activity. Raise the limit for clients that pause for long
    /// while they send a request.
    ///
    /// With HTTP/2, a response may begin while its request's body is still being read, as in a
    /// bidirectional stream of gRPC. From then on both sides may be silent for long, and a wait for
    /// the body is limited by [`upgraded_idle_timeout`](Self::upgraded_idle_timeout) instead.
    pub fn stream_idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.stalls.stream = limit.into())
    }

    /// Sets how long an upgraded connection, such as a WebSocket, may go without a byte in either
    /// direction. The default is 1 h, as in the examples of HAProxy's `timeout tunnel`.
    ///
    /// A read or write that waits then fails with
    /// [`io::ErrorKind::TimedOut`](std::io::ErrorKind::TimedOut). The limit is generous, since
    /// silence is normal for such connections. To find clients that are gone, use TCP keepalive
    /// ([`SocketOptions::keepalive`](reagent::SocketOptions)) or pings of the protocol.
    ///
    /// It is also the limit of an HTTP/2 request whose body is still awaited after its response has
    /// begun, such as a bidirectional stream of gRPC. It does not apply to WebSockets over HTTP/2,
    /// whose connections have HTTP/2's own pings.
    pub fn upgraded_idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.stalls.upgraded = limit.into())
    }

    /// Sets whether the time limits above are only tried. In a [`DryRun`], a connection that
    /// exceeds one is reported and goes on, without the time limits of this layer.
    ///
    /// With HTTP/2, a stream that exceeds [`stream_idle_timeout`](Self::stream_idle_timeout) is
    /// reported, and goes on without that limit. The end of a connection above the
    /// [`keep_alive_timeout`](Self::keep_alive_timeout) is reported as
    /// [`kind::KEEP_ALIVE`](super::kind::KEEP_ALIVE). Pings, limits on sizes and numbers, and the
    /// time to leave after a GOAWAY are always enforced.
    pub fn dry_run(self, dry_run: impl Into<DryRun>) -> Self {
        self.change(|config| config.dry_run = Some(dry_run.into()))
    }

    /// Sets the maximum size of a request's head, in bytes. The default is 32 KiB, the total of
    /// nginx's `large_client_header_buffers`.
    ///
    /// With HTTP/1 it counts the request line and the fields, and a larger head is answered with
    /// 431. With HTTP/2 it counts as RFC 9113, section 6.5.2, says.
    pub fn max_header_bytes(self, max: u32) -> Self {
        self.http1(|http1| {
            http1.max_header_size(max as usize);
        })
        .http2(move |http2| {
            http2.max_header_list_size(max);
        })
    }

    /// Sets the maximum number of header fields of a request, with HTTP/1. The default is 100, as
    /// in hyper, where any other number costs each request an allocation.
    ///
    /// A request with more fields is answered with 431.
    pub fn max_headers(self, max: usize) -> Self {
        self.http1(|http1| {
            http1.max_headers(max);
        })
    }

    /// Sets the maximum number of requests that an HTTP/2 client may have open at once. The default
    /// is 200, as in hyper.
    pub fn max_concurrent_streams(self, max: u32) -> Self {
        self.http2(move |http2| {
            http2.max_concurrent_streams(max);
        })
    }

    /// Sets whether the streams of an HTTP/2 connection run as separate tasks, on all threads,
    /// instead of as parts of the connection's task. The default is `false`.
    ///
    /// As parts of one task, streams cost less and end at the same instant as the connection.
    ///
    /// As separate tasks, the streams of a connection can use more than one core. That pays off if
    /// few clients send many requests that compute, for example proxies that gather requests. The
    /// tasks are aborted when the connection ends; one that is running at that moment stops at its
    /// next `await`.
    pub fn parallel_streams(self, in_parallel: bool) -> Self {
        self.change(|config| config.parallel_streams = in_parallel)
    }

    /// Sets other options of hyper for HTTP/1. The layer itself controls `timer` and
    /// `header_read_timeout`.
    pub fn http1(self, options: impl FnOnce(&mut http1::Builder)) -> Self {
        self.change(|config| {
            options(&mut config.http1);
            config.http1.header_read_timeout(None);
        })
    }

    /// Sets other options of hyper for HTTP/2. `options` is called once per connection. The layer
    /// itself controls `timer`.
    pub fn http2(
        self,
        options: impl Fn(&mut http2::Builder<StreamExecutor>) + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.http2.push(Arc::new(options)))
    }

    /// Adds extensions to all requests of a connection; `add` is called once per connection.
    ///
    /// ```
    /// use axum::{Extension, Router, routing::get};
    /// use reagent::{Addr, Server, testing::MemoryListener};
    /// use reagent_layers::http::HttpLayer;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// #[derive(Clone)]
    /// struct Listener(Addr);
    ///
    /// async fn hello(Extension(Listener(addr)): Extension<Listener>) -> String {
    ///     format!("welcome to {addr}")
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let (listener, clients) = MemoryListener::new();
    /// let http = HttpLayer::new().extensions(|connection, extensions| {
    ///     extensions.insert(Listener(connection.handle.listener_addr().clone()));
    /// });
    /// let server = Server::new(listener)
    ///     .layer(http)
    ///     .start(Router::new().route("/", get(hello)))
    ///     .await?;
    ///
    /// let mut client = clients.connect().await?;
    /// client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer).await?;
    /// assert!(answer.ends_with(&format!("welcome to {}", server.local_addr())));
    /// # Ok(())
    /// # }
    /// ```
    pub fn extensions(
        self,
        add: impl Fn(&ConnectionParts, &mut Extensions) + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.extensions.push(Arc::new(add)))
    }

    /// Adds an extension made by `wrap` from the client's IP address and port. With
    /// `axum::extract::ConnectInfo` as `wrap`, axum's extractor of that name works.
    ///
    /// The address is the one that a PROXY header reports, if there was one. An IPv4 client of an
    /// IPv6 listener has its IPv4 address: `192.0.2.1`, not `::ffff:192.0.2.1`. A client without an
    /// IP address gets no extension.
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
            .field("stream_idle_timeout", &self.config.stalls.stream)
            .field("upgraded_idle_timeout", &self.config.stalls.upgraded)
            .finish_non_exhaustive()
    }
}
