//! A listener, as its connections know it.

use super::shard::{Shard, Totals};
#[cfg(any(test, feature = "testing"))]
use crate::limit::Limit;
use crate::{addr::Addr, extensions::Extensions, limit::Places, panic::discard, sync::Mutex};
use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The number of shards of a listener. If it has more acceptors, they share shards.
const SHARDS: usize = 64;

/// The facts about a listener that its connections share, and its open connections. It outlives the
/// listener until they have ended.
#[derive(Debug)]
pub(crate) struct ListenerEntry {
    pub(crate) addr: Addr,
    /// Whether this is the local address of every connection.
    pub(crate) is_fixed: bool,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) state: Extensions,
    pub(crate) places: Arc<Places>,
    is_closed: AtomicBool,
    shards: Mutex<Vec<Arc<Shard>>>,
}

impl ListenerEntry {
    pub(crate) fn new(
        addr: Addr,
        is_fixed: bool,
        label: Option<Arc<str>>,
        state: Extensions,
        places: Places,
    ) -> Self {
        ListenerEntry {
            addr,
            is_fixed,
            label,
            state,
            places: Arc::new(places),
            is_closed: AtomicBool::new(false),
            shards: Mutex::default(),
        }
    }

    /// Adds a listener without settings.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn plain(addr: Addr, registry: &super::Registry) -> Arc<Self> {
        let places = Places::new(Limit::unlimited(), registry.limit.clone(), None);
        let entry = ListenerEntry::new(addr, true, None, Extensions::default(), places);
        let entry = Arc::new(entry);
        registry.add_listener(&entry);
        entry
    }

    /// Returns the shard of the acceptor with this number.
    pub(super) fn shard(&self, acceptor: usize) -> Arc<Shard> {
        let mut shards = self.shards.lock();
        let number = acceptor % SHARDS;
        while shards.len() <= number {
            shards.push(Arc::default());
        }
        shards[number].clone()
    }

    pub(super) fn shards(&self) -> Vec<Arc<Shard>> {
        self.shards.lock().clone()
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for shard in self.shards() {
            sum += shard.0.lock().totals;
        }
        sum
    }

    /// Records that no acceptor accepts for this listener any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Gives the reserved places back, unless a connection may use them.
    pub(crate) fn end_reserve_if_idle(&self) {
        if self.is_idle() {
            self.places.end_reserve();
        }
    }

    /// Returns whether the listener is closed and all its connections have ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_closed() && self.is_idle()
    }

    fn is_idle(&self) -> bool {
        self.totals().open() == 0
    }
}

impl Drop for ListenerEntry {
    fn drop(&mut self) {
        // User code, whose panic must not end whatever holds the last reference.
        discard(mem::take(&mut self.state));
    }
}
