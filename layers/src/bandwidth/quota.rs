//! The use that a connection has made of its quota.

use super::Quota;
use crate::io::Direction;
use reagent::Rejected;
use std::{
    io,
    sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
};

/// The reason of a [`Rejected`] connection whose client sent more bytes than [`Quota::read`].
pub const READ_QUOTA: &str = "read quota";

/// The reason of a [`Rejected`] connection whose handler wanted to send more bytes than
/// [`Quota::write`].
pub const WRITE_QUOTA: &str = "write quota";

/// The reason of a [`Rejected`] connection that was about to move more bytes than [`Quota::total`].
pub const TOTAL_QUOTA: &str = "total quota";

const REASONS: [&str; 3] = [READ_QUOTA, WRITE_QUOTA, TOTAL_QUOTA];

/// The used quota, shared by the stream, which counts, and the handler's future, which ends the
/// connection.
#[derive(Debug)]
pub(super) struct Spent {
    quota: Quota,
    bytes: [AtomicU64; 2],
    /// The reason, as an index of `REASONS` counted from 1; 0 if the quota was not exceeded.
    over: AtomicU8,
}

impl Spent {
    pub(super) fn new(quota: Quota) -> Self {
        Spent {
            quota,
            bytes: Default::default(),
            over: AtomicU8::new(0),
        }
    }

    fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|direction: usize| self.bytes[direction].load(Relaxed))
    }

    pub(super) fn left(&self, direction: Direction) -> u64 {
        let [read, written] = self.bytes();
        let of_total = self
            .quota
            .total
            .saturating_sub(read.saturating_add(written));
        let of_way =
            self.quota.ways[direction as usize].saturating_sub([read, written][direction as usize]);
        of_total.min(of_way)
    }

    /// Counts bytes. Each direction has one caller at a time, so no locked instruction is needed.
    pub(super) fn add(&self, direction: Direction, bytes: u64) {
        let counter = &self.bytes[direction as usize];
        counter.store(counter.load(Relaxed).saturating_add(bytes), Relaxed);
    }

    /// Returns which part of the quota is used up, as an index of `REASONS`.
    fn used_up(&self, direction: Direction) -> u8 {
        let is_way = self.bytes()[direction as usize] >= self.quota.ways[direction as usize];
        if is_way { direction as u8 } else { 2 }
    }

    /// Returns the reason for which the quota is exceeded.
    pub(super) fn reason(&self, direction: Direction) -> &'static str {
        REASONS[usize::from(self.used_up(direction))]
    }

    /// Notes that the quota was exceeded, and returns the error for the handler.
    pub(super) fn exceed(&self, direction: Direction) -> io::Error {
        let over = self.used_up(direction) + 1;
        let _ = self.over.compare_exchange(0, over, Relaxed, Relaxed);
        io::Error::new(
            io::ErrorKind::QuotaExceeded,
            Rejected::new(self.reason(direction)),
        )
    }

    pub(super) fn over(&self) -> Option<Rejected> {
        match self.over.load(Relaxed) {
            0 => None,
            over => Some(Rejected::new(REASONS[usize::from(over) - 1])),
        }
    }
}
