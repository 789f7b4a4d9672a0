//! The layer and its settings.

use super::Timeouts;
use crate::DryRun;
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// The kind of [`TimedOut`](reagent::TimedOut) when a client sent no first byte in time.
pub const FIRST_BYTE: &str = "first byte";

/// The kind of [`TimedOut`](reagent::TimedOut) when no byte was transferred in either direction for
/// too long.
pub const IDLE: &str = "idle";

/// The kind of [`TimedOut`](reagent::TimedOut) when a read waited too long.
pub const READ: &str = "read";

/// The kind of [`TimedOut`](reagent::TimedOut) when a write waited too long.
pub const WRITE: &str = "write";

/// The kind of [`TimedOut`](reagent::TimedOut) when a client was slower than the minimum rate.
pub const RATE: &str = "rate";

/// The kind of [`TimedOut`](reagent::TimedOut) when a connection exceeded its maximum age.
pub const AGE: &str = "age";

/// A layer that ends connections whose clients take too long.
///
/// Every limit takes a `Duration`, or `None` for no limit. Regardless of how many limits are set,
/// each connection has one timer, and a read or write usually reads the clock once.
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct TimeoutsLayer {
    limits: Arc<Limits>,
}

#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) first_byte: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) read: Option<Duration>,
    pub(super) write: Option<Duration>,
    pub(super) rate: Option<Rate>,
    pub(super) age: Option<Age>,
    pub(super) dry_run: DryRun,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) bytes_per_second: u64,
    pub(super) window: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub(super) age: Duration,
    pub(super) jitter: Duration,
    pub(super) grace: Duration,
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
            dry_run: DryRun::default(),
        }
    }
}

impl TimeoutsLayer {
    /// Creates a layer with the default limits: first byte 30 s, idle 10 min, write 60 s.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(Arc::make_mut(&mut self.limits));
        self
    }

    /// Limits the time that the handler waits for the client's first byte. The default is 30 s, in
    /// which a lost first segment is retransmitted four times (RFC 6298).
    ///
    /// The time starts with the first read that has to wait. Set `None` if the server speaks first
    /// and the client may stay silent.
    pub fn first_byte(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.first_byte = limit.into())
    }

    /// Limits the time in which no byte is transferred in either direction. The default is 10 min,
    /// so that clients can keep a connection open between requests.
    pub fn idle(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.idle = limit.into())
    }

    /// Limits the time that a read waits for the client. The default is `None`, since a client may
    /// pause for as long as it may be [idle](Self::idle).
    pub fn read(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.read = limit.into())
    }

    /// Limits the time that a write waits for the client to accept a byte. The default is 60 s, as
    /// for nginx's `send_timeout`.
    pub fn write(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.write = limit.into())
    }

    /// Requires a minimum rate, both directions together, in every `window`. The default is `None`,
    /// since a slow client is not always hostile.
    ///
    /// This stops clients that send a byte now and then to stay below the other limits (slow
    /// loris).
    ///
    /// Only the time in which the handler waits for the client counts. If the handler computes for
    /// 9 s of a window of 10 s, a tenth of the bytes is enough. Windows follow one another from the
    /// start of the connection. A client that is fast and then pauses is disconnected at the end of
    /// the first window in which it paused too long.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::timeout::TimeoutsLayer;
    /// use std::time::Duration;
    /// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::{Instant, sleep}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener)
    ///     .layer(TimeoutsLayer::new().min_rate(100, Duration::from_secs(10)))
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         conn.read_to_end(&mut Vec::new()).await.map(drop)
    ///     }))
    ///     .await?;
    ///
    /// // One byte per second is more than the other limits ask for.
    /// let mut client = clients.connect().await?;
    /// let began = Instant::now();
    /// while client.write_all(b"x").await.is_ok() {
    ///     sleep(Duration::from_secs(1)).await;
    /// }
    /// assert_eq!(began.elapsed().as_secs(), 11);
    /// # Ok(())
    /// # }
    /// ```
    pub fn min_rate(self, bytes_per_second: impl Into<Option<u64>>, window: Duration) -> Self {
        let rate = bytes_per_second.into();
        self.change(|limits| {
            limits.rate = rate.map(|bytes_per_second| Rate {
                bytes_per_second,
                window,
            });
        })
    }

    /// Limits the age of a connection to `age` plus a random part of `jitter`. The default is
    /// `None`, since in most protocols a connection may last.
    ///
    /// The connection is then drained in the same way as by a drain of the server, and ended after
    /// `grace` if it is still open. The jitter keeps clients that connected together from
    /// reconnecting together.
    ///
    /// # Example
    ///
    /// A handler that says goodbye when its connection gets too old:
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::timeout::TimeoutsLayer;
    /// use std::time::Duration;
    /// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener)
    ///     .layer(TimeoutsLayer::new().idle(None).max_age(hour, minute, minute))
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         conn.draining().await;
    ///         conn.write_all(b"bye\n").await
    ///     }))
    ///     .await?;
    ///
    /// let began = Instant::now();
    /// let mut client = clients.connect().await?;
    /// let mut received = String::new();
    /// client.read_to_string(&mut received).await?;
    /// assert_eq!(received, "bye\n");
    /// assert!((hour..=hour + minute).contains(&began.elapsed()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_age(
        self,
        age: impl Into<Option<Duration>>,
        jitter: Duration,
        grace: Duration,
    ) -> Self {
        let age = age.into();
        self.change(|limits| limits.age = age.map(|age| Age { age, jitter, grace }))
    }

    /// Sets whether the limits are only tried. In a [`DryRun`], a connection that exceeds a limit is
    /// reported and goes on, without any limit of this layer. With [`max_age`](Self::max_age), a
    /// connection is reported when it would be drained.
    ///
    /// To try some limits and enforce others, add a layer for each.
    pub fn dry_run(self, dry_run: impl Into<DryRun>) -> Self {
        self.change(|limits| limits.dry_run = dry_run.into())
    }
}

impl<S> Layer<S> for TimeoutsLayer {
    type Service = Timeouts<S>;

    fn layer(&self, inner: S) -> Timeouts<S> {
        Timeouts::new(inner, self.limits.clone())
    }
}
