//! The layer of time limits and its settings.

use super::Timeouts;
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// The kind of [`TimedOut`](reagent::TimedOut) for a client that sent no first byte.
pub const FIRST_BYTE: &str = "first byte";

/// The kind of [`TimedOut`](reagent::TimedOut) for a connection on which no byte went.
pub const IDLE: &str = "idle";

/// The kind of [`TimedOut`](reagent::TimedOut) for a read that waited too long.
pub const READ: &str = "read";

/// The kind of [`TimedOut`](reagent::TimedOut) for a write that waited too long.
pub const WRITE: &str = "write";

/// The kind of [`TimedOut`](reagent::TimedOut) for a client below the minimum rate.
pub const RATE: &str = "rate";

/// The kind of [`TimedOut`](reagent::TimedOut) for a connection that became too old.
pub const AGE: &str = "age";

/// A layer of time limits. However many are set, they cost each connection one timer, and its reads and writes
/// one reading of the clock each.
///
/// Every limit takes a `Duration`, or `None` for no limit.
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
        }
    }
}

impl TimeoutsLayer {
    /// The default limits: first byte 30 s, idle 10 min, write 60 s.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(Arc::make_mut(&mut self.limits));
        self
    }

    /// Limits how long the handler may wait for the client's first byte. Default 30 s; set `None` where the
    /// server speaks first and the client may be silent.
    ///
    /// The clock starts with the first read that has to wait.
    pub fn first_byte(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.first_byte = limit.into())
    }

    /// Limits how long no byte may go in either direction. Default 10 min.
    pub fn idle(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.idle = limit.into())
    }

    /// Limits how long a read may wait for the client. Default none, since a client may pause for as long
    /// as it may be idle.
    pub fn read(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.read = limit.into())
    }

    /// Limits how long a write may wait for the client to take a byte. Default 60 s.
    pub fn write(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|limits| limits.write = limit.into())
    }

    /// Requires a minimum rate in every `window`, both directions together, against clients that send a byte
    /// now and then (slow loris). Default none.
    ///
    /// Only the time in which the handler waits for the client counts: in a window of 10 s of which the handler
    /// computed for 9, a tenth of the bytes is enough. Windows follow each other from the start of the connection; a
    /// client that is fast and then pauses is ended at the end of the first window in which it paused too long.
    pub fn min_rate(self, bytes_per_second: impl Into<Option<u64>>, window: Duration) -> Self {
        let rate = bytes_per_second.into();
        self.change(|limits| {
            limits.rate = rate.map(|bytes_per_second| Rate {
                bytes_per_second,
                window,
            });
        })
    }

    /// Limits the age of a connection: it is drained then, as by a drain of the server, and ended after
    /// `grace`. A random time of up to `jitter` is added, so that clients that came together do not come back
    /// together. Default none.
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
        Timeouts::new(inner, self.limits.clone())
    }
}
