//! A table of clients with a bound.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    net::IpAddr,
};

/// The number of known clients that are looked at for each new one.
const LOOKS: usize = 4;

/// What is remembered of clients.
///
/// A client is forgotten when there is no reason any more to remember it, and never because another comes: clients
/// that find the table full get nothing. Each new client looks at a few that are known, in turn, so the work for one is
/// the same whether the table is empty or under attack, and it shrinks faster than it grows.
#[derive(Debug)]
pub(crate) struct BoundedMap<V> {
    map: HashMap<IpAddr, V>,
    /// Every client in the map, once, in the order in which they are looked at.
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

    /// Uses what is remembered of `client`, or else made; `None` if the table is full of others.
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
        // Busy ones fill it, and no number of others has an effect.
        for n in 0..100 {
            assert!(map.with(client(n), is_over, || true, |_| ()).is_some());
        }
        for n in 100..10_000 {
            looked.set(0);
            assert!(map.with(client(n), is_over, || true, |_| ()).is_none());
            assert!(looked.get() <= LOOKS, "{}", looked.get());
        }
        assert!((0..100).all(|n| map.with(client(n), is_over, || false, |v| *v) == Some(true)));
        // Half of them are no more; in as many turns as it takes all of those have gone.
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
        // Of those that are no more, some are still to have their turn.
        assert!(map.len() < 75, "{}", map.len());
        assert_eq!(map.turns.len(), map.len());
    }
}
