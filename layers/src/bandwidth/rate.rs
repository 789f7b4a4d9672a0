//! Rates for each direction, and quotas.

use crate::client::bucket;

/// The reason with which a dry run reports a connection whose client sends more bytes per second
/// than the rates allow.
pub const READ_RATE: &str = "read rate";

/// The reason with which a dry run reports a connection whose handler wants to send more bytes per
/// second than the rates allow.
pub const WRITE_RATE: &str = "write rate";

/// The longest turn, in bytes, so that the connections behind it do not wait long. A TLS record
/// holds as much (RFC 8446, section 5.1).
const TURN: u64 = 16 * 1024;

/// A turn, and a burst unless set, is what a rate yields in one `PART`th of a second.
const PART: u64 = 10;

/// The smallest burst is what a rate yields in one `TICKS`th of a second, 5 ms. Tokio's timers tick
/// once a millisecond (`tokio::time::sleep`) and fire up to two late, and with a smaller burst the
/// bytes of that time would be lost.
const TICKS: u64 = 200;

/// A rate in bytes per second, and a burst of bytes that may be moved at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub(super) per_second: u64,
    pub(super) burst: u64,
}

impl Rate {
    /// Creates a rate. Its burst is what the rate yields in a tenth of a second, and at least one
    /// byte; see [`burst`](Self::burst).
    ///
    /// A rate of 0 lets the burst through and then nothing, until the rate is changed. To lift a
    /// limit, use [`Rates::NONE`].
    pub const fn new(bytes_per_second: u64) -> Self {
        Rate {
            per_second: bytes_per_second,
            burst: 0,
        }
        .burst(bytes_per_second / PART)
    }

    /// Sets the burst, in bytes.
    ///
    /// It is at least 1, and at least what the rate yields in 5 milliseconds, since timers are no
    /// finer than that.
    pub const fn burst(mut self, bytes: u64) -> Self {
        let least = self.per_second / TICKS + 1;
        self.burst = if bytes < least { least } else { bytes };
        self
    }

    /// Returns the number of bytes per second.
    pub const fn per_second(self) -> u64 {
        self.per_second
    }

    /// Returns the largest turn of a connection that has to wait, in bytes.
    pub(super) fn turn(self) -> u64 {
        (self.per_second / PART).clamp(1, TURN.min(self.burst))
    }

    pub(super) fn bucket(self) -> bucket::Rate {
        bucket::Rate::new(self.per_second as f64, self.burst as f64)
    }
}

/// The rates of the two directions, each of which may be unlimited.
///
/// Where `Rates` are expected, a [`Rate`] means the same rate in each direction.
///
/// ```
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Rate, Rates};
/// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// // Clients send 2 kB/s at most, and receive 10 kB/s.
/// let rates = Rates::each(Rate::new(2_000), Rate::new(10_000));
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(BandwidthLayer::new(BandwidthLimits::new().per_connection(rates)))
///     .start(reagent::handle(|mut conn: Connection| async move {
///         let mut bytes = vec![0; 24_000];
///         conn.read_exact(&mut bytes).await?;
///         conn.write_all(&bytes).await
///     }))
///     .await?;
///
/// let mut client = clients.connect().await?;
/// let began = Instant::now();
/// client.write_all(&[0; 24_000]).await?;
/// client.read_u8().await?;
/// assert_eq!(began.elapsed().as_secs(), 11);
/// let began = Instant::now();
/// client.read_to_end(&mut Vec::new()).await?;
/// assert_eq!(began.elapsed().as_secs(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub(super) ways: [Option<Rate>; 2],
}

impl Rates {
    /// No limit in either direction.
    pub const NONE: Rates = Rates { ways: [None; 2] };

    /// Limits the bytes that the client sends, and not those that it receives.
    pub const fn read(rate: Rate) -> Self {
        Rates {
            ways: [Some(rate), None],
        }
    }

    /// Limits the bytes that the client receives, and not those that it sends.
    pub const fn write(rate: Rate) -> Self {
        Rates {
            ways: [None, Some(rate)],
        }
    }

    /// Returns the rate of the bytes that the client sends, or `None` if they are not limited.
    pub const fn read_rate(self) -> Option<Rate> {
        self.ways[0]
    }

    /// Returns the rate of the bytes that the client receives, or `None` if they are not limited.
    pub const fn write_rate(self) -> Option<Rate> {
        self.ways[1]
    }

    /// Limits each direction by its own rate.
    pub const fn each(read: Rate, write: Rate) -> Self {
        Rates {
            ways: [Some(read), Some(write)],
        }
    }
}

/// Limits both directions, each by the same rate.
impl From<Rate> for Rates {
    fn from(rate: Rate) -> Self {
        Rates::each(rate, rate)
    }
}

/// Limits both directions, each by the same rate, or neither.
impl From<Option<Rate>> for Rates {
    fn from(rate: Option<Rate>) -> Self {
        rate.map_or(Rates::NONE, Rates::from)
    }
}

/// A limit on the total bytes of a connection. Unlimited by default.
///
/// ```
/// use reagent::{Connection, Outcome, Server, testing::MemoryListener};
/// use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Quota, READ_QUOTA};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let limits = BandwidthLimits::new().quota(Quota::new().read(1_000).total(100_000));
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(BandwidthLayer::new(limits))
///     .start(reagent::handle(|mut conn: Connection| async move {
///         conn.read_to_end(&mut Vec::new()).await.map(drop)
///     }))
///     .await?;
///
/// let mut client = clients.connect().await?;
/// while server.connection_count() == 0 {
///     tokio::task::yield_now().await;
/// }
/// let connection = server.connection(1).unwrap();
/// client.write_all(&[0; 1_001]).await?;
/// client.shutdown().await?;
/// let outcome = connection.closed().await;
/// assert!(matches!(outcome, Outcome::Rejected(quota) if quota.reason() == READ_QUOTA));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub(super) ways: [u64; 2],
    pub(super) total: u64,
}

impl Quota {
    /// No limit in either direction, and none in total.
    pub const NONE: Quota = Quota {
        ways: [u64::MAX; 2],
        total: u64::MAX,
    };

    /// Creates an unlimited quota.
    pub const fn new() -> Self {
        Quota::NONE
    }

    /// Limits the bytes that the client sends. The default is unlimited.
    pub const fn read(mut self, bytes: u64) -> Self {
        self.ways[0] = bytes;
        self
    }

    /// Limits the bytes that the client receives. The default is unlimited.
    pub const fn write(mut self, bytes: u64) -> Self {
        self.ways[1] = bytes;
        self
    }

    /// Limits the bytes of both directions together. The default is unlimited.
    pub const fn total(mut self, bytes: u64) -> Self {
        self.total = bytes;
        self
    }
}

impl Default for Quota {
    fn default() -> Self {
        Quota::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_small_by_bytes_by_time_and_by_burst() {
        assert_eq!(Rate::new(100_000_000).turn(), TURN);
        assert_eq!(Rate::new(1000).burst(1_000_000).turn(), 100);
        assert_eq!(Rate::new(1000).burst(50).turn(), 50);
        assert_eq!(Rate::new(0).turn(), 1);
    }

    #[test]
    fn a_burst_is_no_finer_than_timers_and_never_nothing() {
        assert_eq!(Rate::new(0).burst, 1);
        assert_eq!(Rate::new(1_000_000).burst, 100_000);
        assert_eq!(Rate::new(1_000_000).burst(1).burst, 5001);
        assert_eq!(Rate::new(u64::MAX).burst(u64::MAX).burst, u64::MAX);
    }
}
