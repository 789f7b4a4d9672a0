//! A bounded table of clients.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    net::IpAddr,
};

/// The number of known clients that are examined for each new one.
const LOOKS: usize = 4;

/// A table of what is remembered about clients.
///
/// A client is forgotten once there is no reason left to remember it, and never to make room for
/// another: if the table is full, a new client gets no entry. Each new client examines a few known
/// ones, in turn. So the work for one is the same whether the table is empty or under attack, and
/// the table shrinks faster than it grows.
#[derive(Debug)]
pub(crate) struct BoundedMap<V> {
    map: HashMap<IpAddr, V>,
    /// Every client in the map, once, in the order in which they are examined.
    turns: VecDeque<IpAddr>,
    capacity: usize,
}

impl<V> BoundedMap<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        BoundedMap {
            map: HashMap::new(),
            turns: VecDeque::new(),
            capacity: capacity.max(1),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    #[cfg(feature = "score")]
    pub(crate) fn get(&self, client: IpAddr) -> Option<&V> {
        self.map.get(&client)
    }

    /// Calls `act` with the entry of `client`, made by `make` if it is new. Returns `None` if the
    /// table is full of other clients.
    pub(crate) fn with<T>(
        &mut self,
        client: IpAddr,
        is_over: impl Fn(&V) -> bool,
        make: impl FnOnce() -> V,
        act: impl FnOnce(&mut V) -> T,
    ) -> Option<T> {
        if let Some(known) = self.map.get_mut(&client) {
            return Some(act(known));
        }
        self.forget_some(is_over);
        if self.map.len() >= self.capacity {
            return None;
        }
        self.turns.push_back(client);
        Some(act(self.map.entry(client).or_insert_with(make)))
    }

    fn forget_some(&mut self, is_over: impl Fn(&V) -> bool) {
        for _ in 0..LOOKS.min(self.turns.len()) {
            let Some(client) = self.turns.pop_front() else {
                break;
            };
            match self.map.entry(client) {
                Entry::Occupied(entry) if is_over(entry.get()) => drop(entry.remove()),
                _ => self.turns.push_back(client),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn the_busy_are_never_forgotten_and_the_rest_a_few_at_a_time() {
        let mut map = BoundedMap::new(100);
        let looked = std::cell::Cell::new(0);
        let is_over = |busy: &bool| {
            looked.set(looked.get() + 1);
            !busy
        };
        // Busy clients fill it, and no number of others has an effect.
        for n in 0..100 {
            assert!(map.with(client(n), is_over, || true, |_| ()).is_some());
        }
        for n in 100..10_000 {
            looked.set(0);
            assert!(map.with(client(n), is_over, || true, |_| ()).is_none());
            assert!(looked.get() <= LOOKS, "{}", looked.get());
        }
        assert!((0..100).all(|n| map.with(client(n), is_over, || false, |v| *v) == Some(true)));
        // Half of them end, and after enough turns all of those are gone.
        for n in 0..50 {
            map.with(client(n), is_over, || true, |v| *v = false)
                .unwrap();
        }
        for n in 0..100 {
            assert!(
                map.with(client(1000 + n), is_over, || false, |_| ())
                    .is_some()
            );
        }
        assert!((50..100).all(|n| map.with(client(n), is_over, || false, |v| *v) == Some(true)));
        // Some of those that ended have not had their turn yet.
        assert!(map.len() < 75, "{}", map.len());
        assert_eq!(map.turns.len(), map.len());
    }
}
