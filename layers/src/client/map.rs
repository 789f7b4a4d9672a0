//! What is remembered of clients, of a bounded number of them.

use std::{collections::HashMap, net::IpAddr, time::Duration};
use tokio::time::Instant;

/// A full map looks for what can be forgotten no more often than this.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many clients a layer remembers unless it is told otherwise.
pub(crate) const CAPACITY: usize = 65_536;

#[derive(Debug)]
pub(crate) struct BoundedMap<V> {
    map: HashMap<IpAddr, V>,
    capacity: usize,
    swept_at: Instant,
}

impl<V> BoundedMap<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        BoundedMap {
            map: HashMap::new(),
            capacity: capacity.max(1),
            swept_at: Instant::now(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    #[cfg(feature = "access")]
    pub(crate) fn get(&self, client: &IpAddr) -> Option<&V> {
        self.map.get(client)
    }

    #[cfg(feature = "access")]
    pub(crate) fn remove(&mut self, client: &IpAddr) -> Option<V> {
        self.map.remove(client)
    }

    /// What is remembered of `client`, made if there is nothing. When the map is full, what `is_over` says can
    /// be forgotten makes room, or else anything: a client that can fill the map has so many addresses that
    /// to remember one of them is of no use.
    pub(crate) fn entry(
        &mut self,
        client: IpAddr,
        now: Instant,
        is_over: impl Fn(&V) -> bool,
        make: impl FnOnce() -> V,
    ) -> &mut V {
        if self.map.len() >= self.capacity && !self.map.contains_key(&client) {
            if now.duration_since(self.swept_at) >= SWEEP_EVERY {
                self.swept_at = now;
                self.map.retain(|_, value| !is_over(value));
            }
            if self.map.len() >= self.capacity {
                if let Some(any) = self.map.keys().next().copied() {
                    self.map.remove(&any);
                }
            }
        }
        self.map.entry(client).or_insert_with(make)
    }
}
