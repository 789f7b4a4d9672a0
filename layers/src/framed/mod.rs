//! Serves a protocol of requests and answers: a codec and a service of frames become a service of connections.
//!
//! # When
//!
//! Your protocol sends frames (lines, length-prefixed messages, RESP) and answers them in order. With a
//! [`tokio_util::codec`] for the bytes and a `Service<Frame, Response = Frame>` for the rest, tower's
//! layers for requests (timeout, rate limit, concurrency limit, load shed, retry, buffer) serve it as they serve
//! HTTP. Where frames do not answer one another, or come in a dialogue of your own, a
//! [`Session`](reagent::Session) or a [`handle`](reagent::handle) function is the simpler thing.
//!
//! Clients may send as many requests as they like without waiting. The answers come in order, and those to
//! frames that came together go out together, by one write. The service is called when it is ready, and by default for
//! one request of a connection at a time. While it is not ready, or the client does not read its answers, nothing is
//! read either, and the client waits in TCP. An idle connection holds no buffers.
//!
//! # Where in the stack
//!
//! Innermost: it makes the protocol of the stream, so encryption, time limits and metering come before it. How
//! long a client may be silent is a matter of the [`timeout`](crate::timeout) layer; a frame that was begun
//! and an answer that is not read have limits of their own. Layers for requests go around the service, inside of this.
//!
//! A service shared by all connections is a clone of one for each. One that knows its client, or remembers
//! something of it, is made for each connection: [`FramedLayer::per_connection`].
//!
//! # Example
//!
//! ```
//! use reagent::{Server, testing::MemoryListener};
//! use reagent_layers::framed::{FramedLayer, OnError};
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio_util::codec::LinesCodec;
//! use tower::{ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let upper = ServiceBuilder::new().timeout(Duration::from_secs(1)).service(service_fn(
//!     |line: String| async move { Ok::<_, reagent::BoxError>(line.to_uppercase()) },
//! ));
//! let framed = FramedLayer::new(LinesCodec::new())
//!     .max_frame(1024)
//!     .on_error(|error| OnError::AnswerAndClose(format!("sorry: {error}")));
//!
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener).layer(framed).start(upper).await?;
//!
//! let mut client = clients.connect().await?;
//! client.write_all(b"one\ntwo\n").await?;
//! client.shutdown().await?;
//! let mut answers = String::new();
//! client.read_to_string(&mut answers).await?;
//! assert_eq!(answers, "ONE\nTWO\n");
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`FrameError`], after what [`on_error`](FramedLayer::on_error) says was sent;
//! [`TimedOut`](reagent::TimedOut) of the kind `frame` or `write`; the stream's own errors; and those of what
//! makes the service of a connection. A client that closes in the middle of a frame is an error of most
//! codecs.
//!
//! A connection that is to finish (drain) has the frames that it sent in full answered, and is closed then. What the
//! client still sends is thrown away for a second, so that no reset takes its answers from it.

mod client;
mod error;
mod in_flight;
mod input;
mod output;
mod push;
mod service;
mod serving;

pub use client::Client;
pub use error::{FrameError, OnError};
pub use push::{PushError, Pusher};
pub use service::{Framed, FramedFuture, Made, Shared};
/// The codecs' library, since its traits are part of this module's.
pub use tokio_util::codec;

use std::{fmt, sync::Arc, time::Duration};
use tower_layer::Layer;

/// A layer that speaks in frames: `R` is what the service answers, and `K` says whether its service is
/// [shared](Self::new) or [made for each connection](Self::per_connection).
pub struct FramedLayer<R, K> {
    settings: Settings<R>,
    kind: K,
}

struct Settings<R> {
    in_flight: usize,
    max_frame: usize,
    frame_timeout: Option<Duration>,
    write_buffer: usize,
    write_timeout: Option<Duration>,
    linger: Duration,
    pushes: Option<usize>,
    on_error: Option<Arc<ErrorHandler<R>>>,
    close_after: Option<Arc<Predicate<R>>>,
}

type ErrorHandler<R> = dyn Fn(&FrameError) -> OnError<R> + Send + Sync;
type Predicate<R> = dyn Fn(&R) -> bool + Send + Sync;

impl<R> Settings<R> {
    fn new(pushes: Option<usize>) -> Self {
        Settings {
            in_flight: 1,
            max_frame: 64 * 1024,
            frame_timeout: Some(Duration::from_secs(30)),
            write_buffer: 64 * 1024,
            write_timeout: Some(Duration::from_secs(30)),
            linger: Duration::from_secs(1),
            pushes,
            on_error: None,
            close_after: None,
        }
    }

    fn on_error(&self, error: &FrameError) -> OnError<R> {
        match &self.on_error {
            Some(on_error) => on_error(error),
            None => OnError::Close,
        }
    }
}

impl<R> Clone for Settings<R> {
    fn clone(&self) -> Self {
        Settings {
            on_error: self.on_error.clone(),
            close_after: self.close_after.clone(),
            ..*self
        }
    }
}

/// The kind of a layer whose connections share a service.
#[derive(Clone, Debug)]
pub struct SharedKind<C>(C);

/// The kind of a layer whose connections have a service each.
#[derive(Clone, Copy, Debug)]
pub struct PerConnection(());

impl<R, C> FramedLayer<R, SharedKind<C>> {
    /// Gives each connection a clone of this codec and of the service inside, which answers its frames.
    pub fn new(codec: C) -> Self {
        FramedLayer {
            settings: Settings::new(None),
            kind: SharedKind(codec),
        }
    }
}

impl<R> FramedLayer<R, PerConnection> {
    /// Has the service inside make a codec and a service for each connection: it is a
    /// `Service<Client<R>, Response = (Codec, Service)>`.
    ///
    /// It is waited for in the connection's own task, and its readiness holds back the accept. So codec and service may
    /// share what they know of their client, and the service can [push](Client::pusher) frames.
    ///
    /// ```
    /// use reagent::{Server, testing::MemoryListener};
    /// use reagent_layers::framed::{Client, FramedLayer, codec::LinesCodec};
    /// use std::convert::Infallible;
    /// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower::service_fn;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let make = service_fn(|client: Client<String>| async move {
    ///     let mut lines = 0;
    ///     let service = service_fn(move |line: String| {
    ///         lines += 1;
    ///         let answer = format!("{}, line {lines}: {line}", client.handle().id());
    ///         async { Ok::<_, Infallible>(answer) }
    ///     });
    ///     Ok::<_, Infallible>((LinesCodec::new(), service))
    /// });
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener).layer(FramedLayer::per_connection()).start(make).await?;
    ///
    /// # let mut client = clients.connect().await?;
    /// # client.write_all(b"a\nb\n").await?;
    /// # client.shutdown().await?;
    /// # let mut answers = String::new();
    /// # client.read_to_string(&mut answers).await?;
    /// # assert_eq!(answers, "1, line 1: a\n1, line 2: b\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn per_connection() -> Self {
        FramedLayer {
            settings: Settings::new(Some(64)),
            kind: PerConnection(()),
        }
    }

    /// How many [pushed](Pusher) frames may wait for a client that reads slowly. Default 64, at least 1.
    pub fn pushes(mut self, frames: usize) -> Self {
        self.settings.pushes = Some(frames.max(1));
        self
    }
}

impl<R, K> FramedLayer<R, K> {
    /// How many requests of one connection are served at once; their answers stay in order. Default 1, which is
    /// what clients expect where a request changes what the next one sees. At least 1.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.settings.in_flight = requests.max(1);
        self
    }

    /// How many bytes a frame may have, by what the codec takes for it, however much of it the codec keeps for
    /// itself. Default 64 KiB. A connection buffers at most about twice as much, and 64 KiB.
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.settings.max_frame = bytes;
        self
    }

    /// How long a client may take from the first byte of a frame to its last; `None` is for ever. Time in
    /// which nothing is read from it does not count. Default 30 s.
    pub fn frame_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.frame_timeout = limit.into();
        self
    }

    /// How many bytes of answers may wait for the client before no more requests are served. One answer, and those
    /// of requests that are being served, may come on top. Default 64 KiB, at least 1.
    pub fn write_buffer(mut self, bytes: usize) -> Self {
        self.settings.write_buffer = bytes.max(1);
        self
    }

    /// How long a client may take none of what is sent to it; `None` is for ever. Default 30 s.
    pub fn write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.write_timeout = limit.into();
        self
    }

    /// How long a client that is closed has to close too. What it sends meanwhile is thrown away; were it left
    /// unread, the system would reset the connection, and the client might lose answers. Default 1 s.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.settings.linger = limit;
        self
    }

    /// What is done when a frame cannot be decoded, is too large, or cannot be served: an answer in its place, a
    /// close, or both. By default the connection is closed.
    pub fn on_error(
        mut self,
        f: impl Fn(&FrameError) -> OnError<R> + Send + Sync + 'static,
    ) -> Self {
        self.settings.on_error = Some(Arc::new(f));
        self
    }

    /// Closes the connection after an answer of which `is_last` is true, such as the one to `QUIT`.
    pub fn close_after(mut self, is_last: impl Fn(&R) -> bool + Send + Sync + 'static) -> Self {
        self.settings.close_after = Some(Arc::new(is_last));
        self
    }
}

impl<R, C: Clone, S> Layer<S> for FramedLayer<R, SharedKind<C>> {
    type Service = Framed<R, Shared<C, S>>;

    fn layer(&self, service: S) -> Self::Service {
        let codec = self.kind.0.clone();
        let settings = Arc::new(self.settings.clone());
        Framed::new(Shared { codec, service }, settings)
    }
}

impl<R, M> Layer<M> for FramedLayer<R, PerConnection> {
    type Service = Framed<R, Made<M>>;

    fn layer(&self, make: M) -> Self::Service {
        Framed::new(Made(make), Arc::new(self.settings.clone()))
    }
}

impl<R, K: Clone> Clone for FramedLayer<R, K> {
    fn clone(&self) -> Self {
        FramedLayer {
            settings: self.settings.clone(),
            kind: self.kind.clone(),
        }
    }
}

impl<R, K: fmt::Debug> fmt::Debug for FramedLayer<R, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedLayer")
            .field("kind", &self.kind)
            .field("in_flight", &self.settings.in_flight)
            .field("max_frame", &self.settings.max_frame)
            .finish_non_exhaustive()
    }
}
