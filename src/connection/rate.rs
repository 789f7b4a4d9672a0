//! The bytes that a connection moves in a second.

use std::time::Duration;

/// The bytes per second that a connection moves: see
/// [`ConnectionHandle::rate`](crate::ConnectionHandle::rate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// The bytes per second read from the socket. With TLS, these are the encrypted bytes.
    pub read: u64,
    /// The bytes per second written to the socket. With TLS, these are the encrypted bytes.
    pub written: u64,
}

impl Rate {
    /// A window of less than a second says little, so it is filled up with silence.
    pub(super) fn new(moved: [u64; 2], window: Duration) -> Self {
        let window = window.as_secs_f64().max(1.0);
        let [read, written] = moved.map(|bytes| (bytes as f64 / window) as u64);
        Rate { read, written }
    }

    /// Returns the bytes per second in both directions together.
    pub fn total(self) -> u64 {
        self.read.saturating_add(self.written)
    }
}

/// The bytes that a connection had read and written when certain seconds began. The second of its
/// accept began with none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// The second in which it was last active.
    last: [u64; 2],
    /// The one before that.
    previous: [u64; 2],
}

impl Marks {
    /// Adds a second in which the connection is active, `passed` seconds after the last one.
    pub(super) fn add(&mut self, passed: u32, bytes: [u64; 2]) {
        self.previous = match passed {
            1 => self.last,
            _ => bytes,
        };
        self.last = bytes;
    }

    /// Returns the bytes moved since the beginning of the second before the current one, which is
    /// `passed` seconds after the last active one.
    pub(super) fn moved(self, passed: u32, bytes: [u64; 2]) -> [u64; 2] {
        let since = match passed {
            0 => self.previous,
            1 => self.last,
            _ => return [0; 2],
        };
        [bytes[0] - since[0], bytes[1] - since[1]]
    }
}
