//! The open connections of one acceptor, and the counts of all it has accepted.

use super::table::Table;
use crate::{outcome::OutcomeKind, sync::Mutex};
use std::{
    fmt,
    ops::AddAssign,
    sync::atomic::{AtomicU64, Ordering},
};

/// The number of ids that a shard takes from the server at once.
const IDS: u64 = 64;

/// The connections of one acceptor. Acceptors on different cores do not write to the same line.
// Two cache lines, since x86-64 processors prefetch lines in pairs.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Shard(pub(super) Mutex<Records>);

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shard")
    }
}

#[derive(Default)]
pub(super) struct Records {
    pub(super) open: Table,
    /// The ids that are left of the current block.
    ids: (u64, u64),
    pub(super) totals: Totals,
}

impl Records {
    /// Returns the next id, from a block of ids that `next` is the start of.
    pub(super) fn next_id(&mut self, block: &AtomicU64) -> u64 {
        let (next, end) = &mut self.ids;
        if next == end {
            *next = block.fetch_add(IDS, Ordering::Relaxed);
            *end = *next + IDS;
        }
        *next += 1;
        *next - 1
    }
}

/// The numbers of connections that began and that ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) ended: [u64; OutcomeKind::ALL.len()],
}

impl Totals {
    /// Returns the number of connections that ended, with any outcome.
    pub(crate) fn over(&self) -> u64 {
        self.ended.iter().sum()
    }

    pub(crate) fn open(&self) -> usize {
        // Shards are read one after the other, but each is consistent in itself.
        usize::try_from(self.accepted - self.over()).unwrap_or(usize::MAX)
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.accepted += other.accepted;
        for (sum, ended) in self.ended.iter_mut().zip(other.ended) {
            *sum += ended;
        }
    }
}
