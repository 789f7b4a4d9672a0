//! All open connections by their numbers.

use crate::ConnectionHandle;
use crate::sync::Mutex;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::MutexGuard,
};

/// So many locks that cores seldom meet at one.
const SHARDS: usize = 16;

#[derive(Default)]
pub(crate) struct Registry {
    shards: [Mutex<Shard>; SHARDS],
}

type Shard = HashMap<u64, ConnectionHandle, BuildHasherDefault<IdHasher>>;

impl Registry {
    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        self.shards[id as usize % SHARDS].lock()
    }

    pub(crate) fn insert(&self, handle: ConnectionHandle) {
        self.shard(handle.id()).insert(handle.id(), handle);
    }

    pub(crate) fn remove(&self, id: u64) {
        let removed = self.shard(id).remove(&id);
        // Whatever it holds goes after the lock.
        drop(removed);
    }

    pub(crate) fn get(&self, id: u64) -> Option<ConnectionHandle> {
        self.shard(id).get(&id).cloned()
    }

    /// Every open connection, the oldest first.
    pub(crate) fn all(&self) -> Vec<ConnectionHandle> {
        let mut all: Vec<_> = (0..SHARDS as u64)
            .flat_map(|shard| self.shard(shard).values().cloned().collect::<Vec<_>>())
            .collect();
        all.sort_unstable_by_key(ConnectionHandle::id);
        all
    }
}

/// Spreads consecutive numbers, which is all that is ever hashed here, by Fibonacci's
/// multiplication (Knuth, The Art of Computer Programming 3, 6.4).
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed");
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
