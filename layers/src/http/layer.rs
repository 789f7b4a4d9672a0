//! The layer and its settings.

use super::{Config, Http, StreamExecutor, version::Version};
use ::http::Extensions;
use hyper::server::conn::{http1, http2};
use reagent::ConnectionParts;
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use tower_layer::Layer;

/// Serves HTTP. Configure it before passing it to a server.
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

    /// Serves HTTP/1 alone, whatever ALPN and the client say.
    pub fn http1_only(self) -> Self {
        self.change(|config| config.version = Version::Http1)
    }

    /// Serves HTTP/2 alone, whatever ALPN and the client say.
    pub fn http2_only(self) -> Self {
        self.change(|config| config.version = Version::Http2)
    }

    /// Sets how long a client may take to send anything at all, or a whole HTTP/2 preface with its SETTINGS. Default 30 s.
    pub fn first_byte_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.first_byte = limit.into())
    }

    /// Sets how long a request's head may take from its first byte to its last, with HTTP/1. Such a client gets no
    /// answer. It is also how long a client may take to leave after a GOAWAY. Default 30 s.
    pub fn header_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.header = limit.into())
    }

    /// Sets how long a connection may stay open without a request. Default 75 s.
    ///
    /// With HTTP/2 it is ended by GOAWAY, so that no request is lost that comes at that moment.
    pub fn keep_alive_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.keep_alive = limit.into())
    }

    /// Sets how long a stream may wait for its client: for the next piece of a body that the service reads, or until
    /// the client takes a piece of its answer, which has up to 16 KiB with HTTP/2. Default 60 s, as nginx's
    /// `client_body_timeout` and `send_timeout`.
    ///
    /// With HTTP/2 the stream is reset (CANCEL), and the others go on. With HTTP/1 the connection ends with
    /// [`kind::STREAM_IDLE`](super::kind::STREAM_IDLE), as does an HTTP/2 connection whose client reads nothing at all; it is
    /// reset, since what the client does not take would stay with the system for as long as it likes.
    ///
    /// The limit measures the client and not the service: a handler that computes, a long poll and an answer that has
    /// nothing to say for hours are not affected. Pings, settings and other frames that move no byte of a body do not
    /// count as activity. Raise it for clients that stream a request with long pauses before they are answered.
    ///
    /// With HTTP/2, once an answer has begun while its request's body is still being read (a gRPC stream in both
    /// directions), both sides may be silent for a long time, and the limit is
    /// [`upgraded_idle_timeout`](Self::upgraded_idle_timeout).
    pub fn stream_idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.stalls.stream = limit.into())
    }

    /// Sets how long an upgraded connection, such as a WebSocket, may move no byte in either direction. Default 1 h, as
    /// in the examples of HAProxy's `timeout tunnel`.
    ///
    /// A read or write that waits then fails with [`io::ErrorKind::TimedOut`](std::io::ErrorKind::TimedOut). Silence is
    /// normal for such connections, so the limit is generous; find clients that are gone by TCP keepalive
    /// ([`SocketOptions::keepalive`](reagent::SocketOptions)) or by pings of the protocol.
    ///
    /// It is also the limit of an HTTP/2 request whose body is still awaited after its answer has begun, such as a gRPC stream
    /// in both directions. It does not apply to WebSockets over HTTP/2, whose connections have HTTP/2's own pings.
    pub fn upgraded_idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.stalls.upgraded = limit.into())
    }

    /// Sets how many bytes a request's head may have: in HTTP/1 the request line and the fields (431 otherwise), in
    /// HTTP/2 as RFC 9113, 6.5.2, counts them. Default 32 KiB.
    pub fn max_header_bytes(self, max: u32) -> Self {
        self.http1(|http1| {
            http1.max_header_size(max as usize);
        })
        .http2(move |http2| {
            http2.max_header_list_size(max);
        })
    }

    /// Sets how many fields a request's head may have with HTTP/1 (431 otherwise). Default 100; any other number
    /// costs each request an allocation.
    pub fn max_headers(self, max: usize) -> Self {
        self.http1(|http1| {
            http1.max_headers(max);
        })
    }

    /// Sets how many requests an HTTP/2 client may have open at once. Default 200.
    pub fn max_concurrent_streams(self, max: u32) -> Self {
        self.http2(move |http2| {
            http2.max_concurrent_streams(max);
        })
    }

    /// Sets whether the streams of an HTTP/2 connection are separate tasks, which run on all threads, instead of
    /// parts of its task. Default `false`.
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

    /// Adds what `wrap` makes of the client's IP address and port, as reported by a PROXY header if there was one: with
    /// `axum::extract::ConnectInfo`, axum's extractor of that name works.
    ///
    /// An IPv4 client of an IPv6 listener has its IPv4 address: `192.0.2.1`, not `::ffff:192.0.2.1`.
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
