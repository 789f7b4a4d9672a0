//! Ends connections that take too long, at whatever they do.
//!
//! # When
//!
//! Always, where clients are not your own: each connection holds a descriptor and memory, and a client
//! that does nothing holds them for nothing. `tower::timeout::TimeoutLayer` bounds the whole life of a
//! connection and nothing else; this one looks at what happens in it.
//!
//! # Where in the stack
//!
//! Inside TLS and the PROXY protocol, which have time limits of their own, so that the bytes it looks at are
//! the handler's; and outside whatever makes a protocol of the stream. Outside of TLS it works too, and then
//! a handshake counts as activity.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Outcome, Server, testing::MemoryListener};
//! use reagent_layers::timeout::TimeoutsLayer;
//! use std::time::Duration;
//! use tokio::io::AsyncReadExt;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(TimeoutsLayer::new().first_byte(Duration::from_secs(5)))
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         conn.read_u8().await.map(drop)
//!     }))
//!     .await?;
//!
//! let _silent = clients.connect().await?;
//! while server.connection_count() == 0 {
//!     tokio::task::yield_now().await;
//! }
//! let outcome = server.connection(1).unwrap().closed().await;
//! assert!(matches!(outcome, Outcome::TimedOut(limit) if limit.kind() == "first byte"));
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`TimedOut`](reagent::TimedOut) of the kind `first byte`, `idle`, `read`, `write`, `rate` or `age`; the
//! handler's future is dropped. If it was waiting to write then, the connection is reset: what the client does not
//! take would stay with the system for as long as the client likes (`nginx` has `reset_timedout_connection`).
//!
//! The limits hold while the handler's future does. A stream that it gave away is not looked at any more.

mod activity;
mod future;

pub use activity::TimedIo;
pub use future::TimeoutsFuture;

use activity::Activity;
use reagent::{BoxError, Connection, IoStream};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower_layer::Layer;
use tower_service::Service;

/// A layer of time limits. However many are set, they cost each connection one timer, and its reads and writes
/// a look at the clock.
///
/// [`new`](Self::new) bounds the first byte by 30 seconds, idleness by 10 minutes and a write by 60 seconds,
/// and nothing else; every limit takes a `Duration`, or `None` for none.
#[derive(Clone, Debug, Default)]
pub struct TimeoutsLayer {
    limits: Arc<Limits>,
}

#[derive(Clone, Debug)]
struct Limits {
    first_byte: Option<Duration>,
    idle: Option<Duration>,
    read: Option<Duration>,
    write: Option<Duration>,
    rate: Option<Rate>,
    age: Option<Age>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    bytes_per_second: u64,
    window: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Age {
    age: Duration,
    jitter: Duration,
    grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            first_byte: Some(Duration::from_secs(30)),
            idle: Some(Duration::from_secs(600)),
            read: None,
            write: Some(Duration::from_secs(60)),
            rate: None,
            age: None,
        }
    }
}

impl TimeoutsLayer {
    /// The limits that are always right.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(Arc::make_mut(&mut self.limits));
        self
    }

    /// How long the client may take to send anything at all. Default 30 s; none where the server speaks
    /// first and the client may be silent.
    pub fn first_byte(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.first_byte = limit.into())
    }

    /// How long nothing may go either way. Default 10 min.
    pub fn idle(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.idle = limit.into())
    }

    /// How long the handler may wait for bytes of the client. Default none, since a client may well think
    /// for as long as it may be idle.
    pub fn read(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.read = limit.into())
    }

    /// How long the client may take none of what is sent to it. Default 60 s.
    pub fn write(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.write = limit.into())
    }

    /// The least that has to go, both ways together, in every `window`: against clients that send a byte
    /// now and then (slow loris). `None` is nothing. Default none.
    ///
    /// The window begins with the connection; a client that is fast and then pauses is ended at the end of
    /// the first window in which it paused too long.
    pub fn min_rate(self, bytes_per_second: impl Into<Option<u64>>, window: Duration) -> Self {
        let rate = bytes_per_second.into();
        self.change(|limits| {
            limits.rate = rate.map(|bytes_per_second| Rate {
                bytes_per_second,
                window,
            });
        })
    }

    /// How old a connection may get: then it is told to finish, as in a drain, and after `grace` ended. Up to
    /// `jitter` is added by chance, so that clients that came together do not come back together. Default
    /// none.
    pub fn max_age(
        self,
        age: impl Into<Option<Duration>>,
        jitter: Duration,
        grace: Duration,
    ) -> Self {
        let age = age.into();
        self.change(|limits| limits.age = age.map(|age| Age { age, jitter, grace }))
    }
}

impl<S> Layer<S> for TimeoutsLayer {
    type Service = Timeouts<S>;

    fn layer(&self, inner: S) -> Timeouts<S> {
        Timeouts {
            inner,
            limits: self.limits.clone(),
        }
    }
}

/// The service of a [`TimeoutsLayer`]: ready when the service inside is.
#[derive(Clone, Debug)]
pub struct Timeouts<S> {
    inner: S,
    limits: Arc<Limits>,
}

impl<S, Io> Service<Connection<Io>> for Timeouts<S>
where
    S: Service<Connection<TimedIo<Io>>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = TimeoutsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let activity = Arc::new(Activity::new(&self.limits));
        let handle = conn.handle();
        let conn = conn.map_io(|io| TimedIo::new(io, activity.clone()));
        TimeoutsFuture::new(self.inner.call(conn), activity, self.limits.clone(), handle)
    }
}
