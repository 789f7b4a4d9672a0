//! What can go wrong.

use std::{ops::RangeInclusive, time::Duration};

/// A fault of a connection, in both directions unless documented or set otherwise.
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

    /// Delays what the client sends by `delay`, and by up to `jitter` more; the order stays. It counts from
    /// when the handler looks for it, and 64 KiB are under way at most.
    ///
    /// For reads only by default, since that is all of a long way that a handler notices, and a round
    /// trip is longer by it. With [`writes`](Self::writes) a write waits that long before it is taken.
    pub fn latency(delay: Duration, jitter: Duration) -> Self {
        Fault::new(Kind::Latency(Latency { delay, jitter })).reads()
    }

    /// Caps the bandwidth of each direction, at least one byte a second; a tenth of a second's bytes go at a time.
    pub fn bandwidth(bytes_per_second: u64) -> Self {
        Fault::new(Kind::Bandwidth {
            per_second: bytes_per_second.max(1),
        })
    }

    /// Makes reads and writes short: each direction is cut into pieces of these sizes, and no read or write goes
    /// beyond the end of one. Sizes are at least 1. The cuts do not depend on how much is read at once.
    pub fn slices(sizes: RangeInclusive<usize>) -> Self {
        let least = (*sizes.start()).max(1);
        Fault::new(Kind::Slices {
            least,
            most: (*sizes.end()).max(least),
        })
    }

    /// Resets the connection after this many bytes of both directions together: a TCP client gets a reset, and the
    /// handler [`ConnectionReset`](std::io::ErrorKind::ConnectionReset) from its next read or write.
    pub fn reset_after(bytes: u64) -> Self {
        Fault::new(Kind::Reset { after: bytes })
    }

    /// Lets nothing through after this many bytes of both directions together: reads wait for ever, and writes do
    /// once as much has vanished as a socket would hold, 64 KiB.
    ///
    /// The client sees the end when the connection is dropped.
    pub fn black_hole_after(bytes: u64) -> Self {
        Fault::new(Kind::BlackHole { after: bytes })
    }

    /// Restricts the fault to what the handler reads; only that is counted.
    pub fn reads(mut self) -> Self {
        self.ways = [true, false];
        self
    }

    /// Restricts the fault to what the handler writes; only that is counted.
    pub fn writes(mut self) -> Self {
        self.ways = [false, true];
        self
    }

    /// Applies the fault to both directions.
    pub fn both_ways(mut self) -> Self {
        self.ways = [true; 2];
        self
    }
}
