//! Open connections, to be checked again when what they were admitted by changes.

use reagent::ConnectionHandle;
#[cfg(feature = "access")]
use std::ops::RangeInclusive;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Open connections by a key, each with what is needed to check it.
///
/// A connection is registered first and checked afterwards; a change is made first and the
/// connections are visited afterwards. So whichever comes first, no change is missed.
pub(crate) struct OpenConnections<K, V>(Mutex<Open<K, V>>);

struct Open<K, V> {
    map: BTreeMap<(K, u64), (ConnectionHandle, V)>,
    next: u64,
}

/// Keeps a connection in the table.
pub(crate) struct Registered<K: Ord, V> {
    key: (K, u64),
    table: Arc<OpenConnections<K, V>>,
}

impl<K: Copy + Ord, V: Clone> OpenConnections<K, V> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(OpenConnections(Mutex::new(Open {
            map: BTreeMap::new(),
            next: 0,
        })))
    }

    pub(crate) fn register(
        self: &Arc<Self>,
        key: K,
        connection: ConnectionHandle,
        value: V,
    ) -> Registered<K, V> {
        let mut open = self.lock();
        let key = (key, open.next);
        open.next += 1;
        open.map.insert(key, (connection, value));
        Registered {
            key,
            table: self.clone(),
        }
    }

    /// Calls `is_over` for each connection with a key in `keys`, and removes those for which it
    /// returns `true`. No lock is held meanwhile.
    #[cfg(feature = "access")]
    pub(crate) fn visit(
        &self,
        keys: RangeInclusive<K>,
        is_over: impl FnMut(&(ConnectionHandle, V)) -> bool,
    ) {
        let keys = (*keys.start(), 0)..=(*keys.end(), u64::MAX);
        let found = self.lock().map.range(keys).map(copy).collect();
        self.visit_found(found, is_over);
    }

    /// Does the same for all connections.
    pub(crate) fn visit_all(&self, is_over: impl FnMut(&(ConnectionHandle, V)) -> bool) {
        let found = self.lock().map.iter().map(copy).collect();
        self.visit_found(found, is_over);
    }

    fn visit_found(
        &self,
        found: Vec<((K, u64), (ConnectionHandle, V))>,
        mut is_over: impl FnMut(&(ConnectionHandle, V)) -> bool,
    ) {
        for (key, connection) in found {
            if is_over(&connection) {
                self.remove(&key);
            }
        }
    }
}

impl<K: Ord, V> OpenConnections<K, V> {
    fn lock(&self) -> MutexGuard<'_, Open<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, key: &(K, u64)) {
        // Dropped after the lock.
        let removed = self.lock().map.remove(key);
        drop(removed);
    }
}

fn copy<K: Copy, T: Clone>((key, value): (&K, &T)) -> (K, T) {
    (*key, value.clone())
}

impl<K: Ord, V> Drop for Registered<K, V> {
    fn drop(&mut self) {
        self.table.remove(&self.key);
    }
}
