//! What can go wrong.

use std::{ops::RangeInclusive, time::Duration};

/// What goes wrong with a connection, both ways unless it says otherwise or is told so.
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

    /// What the client sends arrives later by `delay`, and by up to `jitter` more; the order stays. It counts from
    /// when the handler looks for it, and 64 KiB are under way at most.
    ///
    /// For reads only unless told otherwise, since that is all of a long way that a handler notices, and a round
    /// trip is longer by it. With [`writes`](Self::writes) a write waits so long before it is taken.
    pub fn latency(delay: Duration, jitter: Duration) -> Self {
        Fault::new(Kind::Latency(Latency { delay, jitter })).reads()
    }

    /// No more than so many bytes a second, at least one, each way; a tenth of that at a time.
    pub fn bandwidth(bytes_per_second: u64) -> Self {
        Fault::new(Kind::Bandwidth {
            per_second: bytes_per_second.max(1),
        })
    }

    /// Short reads and short writes: each way is cut into pieces of these sizes, and none goes beyond the end of
    /// one. Sizes are at least 1. Where the cuts are has nothing to do with how much is read at once.
    pub fn slices(sizes: RangeInclusive<usize>) -> Self {
        let least = (*sizes.start()).max(1);
        Fault::new(Kind::Slices {
            least,
            most: (*sizes.end()).max(least),
        })
    }

    /// When so many bytes have gone, those of both ways together, the connection is reset: the client gets a reset
    /// where it is a TCP client, and the handler [`ConnectionReset`](std::io::ErrorKind::ConnectionReset) from its next
    /// read or write.
    pub fn reset_after(bytes: u64) -> Self {
        Fault::new(Kind::Reset { after: bytes })
    }

    /// When so many bytes have gone, those of both ways together, nothing goes any more: reads wait for ever, and
    /// writes do once as much has vanished as a socket would hold, 64 KiB.
    ///
    /// The client sees the end when the connection is dropped.
    pub fn black_hole_after(bytes: u64) -> Self {
        Fault::new(Kind::BlackHole { after: bytes })
    }

    /// Only what the handler reads suffers, and counts.
    pub fn reads(mut self) -> Self {
        self.ways = [true, false];
        self
    }

    /// Only what the handler writes suffers, and counts.
    pub fn writes(mut self) -> Self {
        self.ways = [false, true];
        self
    }

    /// Both suffer, and count.
    pub fn both_ways(mut self) -> Self {
        self.ways = [true; 2];
        self
    }
}
