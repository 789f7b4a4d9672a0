//! The kinds of faults.

use std::{ops::RangeInclusive, time::Duration};

/// A fault of a connection. It affects both directions, unless documented or set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) kind: Kind,
    pub(super) ways: [bool; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Latency(Latency),
    Bandwidth { per_second: u64 },
    Slices { least: usize, most: usize },
    Reset { after: u64 },
    BlackHole { after: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Latency {
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
}

impl Fault {
    fn new(kind: Kind) -> Self {
        Fault {
            kind,
            ways: [true; 2],
        }
    }

    /// Delays what the client sends by `delay` plus a random part of `jitter`. The bytes stay in
    /// order.
    ///
    /// The delay is counted from the moment at which the handler looks for the bytes, and at most
    /// 64 KiB are in transit at a time.
    ///
    /// It affects reads only, unless set otherwise: that is all that a handler notices of a long
    /// distance, and it lengthens each round trip by the delay. With [`writes`](Self::writes)
    /// instead, each write waits for the delay before it is accepted.
    pub fn latency(delay: Duration, jitter: Duration) -> Self {
        Fault::new(Kind::Latency(Latency { delay, jitter })).reads()
    }

    /// Limits each direction to `bytes_per_second`, at least 1. The bytes of a tenth of a second go
    /// at a time.
    pub fn bandwidth(bytes_per_second: u64) -> Self {
        Fault::new(Kind::Bandwidth {
            per_second: bytes_per_second.max(1),
        })
    }

    /// Makes reads and writes short. Each direction is cut into pieces of random sizes from
    /// `sizes`, and no read or write crosses the end of a piece.
    ///
    /// Sizes are at least 1. The cuts do not depend on how much is read or written at once.
    pub fn slices(sizes: RangeInclusive<usize>) -> Self {
        let least = (*sizes.start()).max(1);
        Fault::new(Kind::Slices {
            least,
            most: (*sizes.end()).max(least),
        })
    }

    /// Resets the connection after `bytes` bytes of both directions together.
    ///
    /// A TCP client gets a reset, and the next read or write of the handler fails with
    /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset).
    pub fn reset_after(bytes: u64) -> Self {
        Fault::new(Kind::Reset { after: bytes })
    }

    /// Silences the connection after `bytes` bytes of both directions together: nothing arrives in
    /// either direction, and there is no error.
    ///
    /// Reads wait forever. Writes succeed until 64 KiB have vanished, about as much as a socket
    /// would buffer, and then wait forever. The client sees the end of the stream when the
    /// connection is dropped.
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::fault::{Fault, FaultLayer};
    /// use std::time::Duration;
    /// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::timeout};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// // The client is heard for five bytes only, and can be written to all the time.
    /// let faults = FaultLayer::new(1).with(1.0, Fault::black_hole_after(5).reads());
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener)
    ///     .layer(faults)
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         let mut heard = Vec::new();
    ///         let limit = Duration::from_secs(10);
    ///         while let Ok(byte) = timeout(limit, conn.read_u8()).await {
    ///             heard.push(byte?);
    ///         }
    ///         conn.write_all(&heard).await
    ///     }))
    ///     .await?;
    ///
    /// let mut client = clients.connect().await?;
    /// client.write_all(b"hello, are you there?").await?;
    /// let mut heard = String::new();
    /// client.read_to_string(&mut heard).await?;
    /// assert_eq!(heard, "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn black_hole_after(bytes: u64) -> Self {
        Fault::new(Kind::BlackHole { after: bytes })
    }

    /// Restricts the fault to what the handler reads. Only those bytes count.
    pub fn reads(mut self) -> Self {
        self.ways = [true, false];
        self
    }

    /// Restricts the fault to what the handler writes. Only those bytes count.
    pub fn writes(mut self) -> Self {
        self.ways = [false, true];
        self
    }

    /// Extends the fault to both directions.
    pub fn both_ways(mut self) -> Self {
        self.ways = [true; 2];
        self
    }
}
