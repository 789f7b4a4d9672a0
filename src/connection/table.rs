//! The list of open connections.

use super::ConnectionHandle;

/// The number of rows read under the lock at once, which bounds how long a visitor holds it.
const VISIT: usize = 256;

/// The open connections of one shard.
///
/// A connection keeps its row while it is open. A visitor that releases the lock between two
/// batches of rows therefore sees every connection that is open throughout, and sees it once.
/// Adding and removing take constant time. Rows are reused and never freed: their number is the
/// highest number of connections that were ever open at once.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Option<(u64, ConnectionHandle)>>,
    /// The free rows. The one freed last is used first, since its memory is in the cache.
    free: Vec<u32>,
}

impl Table {
    /// Returns the row of the next connection.
    pub(super) fn next_row(&self) -> u32 {
        // There are fewer connections than descriptors, whose numbers have 31 bits.
        let new = self.rows.len() as u32;
        self.free.last().copied().unwrap_or(new)
    }

    /// Adds a connection that was created with the row from [`next_row`](Self::next_row).
    pub(super) fn insert(&mut self, handle: ConnectionHandle) {
        let row = Some((handle.id(), handle));
        match self.free.pop() {
            Some(free) => self.rows[free as usize] = row,
            None => self.rows.push(row),
        }
    }

    /// Removes a connection, unless it has been removed already and its row belongs to another.
    pub(super) fn remove(&mut self, handle: &ConnectionHandle) -> Option<ConnectionHandle> {
        let number = handle.entry.row;
        let row = self.rows.get_mut(number as usize)?;
        let (_, removed) = row.take_if(|(id, _)| *id == handle.id())?;
        self.free.push(number);
        Some(removed)
    }

    /// Copies the wanted connections of a batch of rows. Returns the next row, or `None` after the
    /// last.
    pub(super) fn copy(
        &self,
        from: usize,
        is_wanted: impl Fn(u64) -> bool,
        to: &mut Vec<ConnectionHandle>,
    ) -> Option<usize> {
        let next = self.rows.len().min(from + VISIT);
        let rows = self.rows.get(from..next)?.iter().flatten();
        to.extend(
            rows.filter(|(id, _)| is_wanted(*id))
                .map(|(_, handle)| handle.clone()),
        );
        (next < self.rows.len()).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Addr, Connection, Extensions, Limit, Transport,
        connection::{ListenerEntry, Registrar, Registry},
    };
    use std::{collections::BTreeSet, sync::Arc};

    fn open(registrar: &Arc<Registrar>) -> Connection {
        let (stream, _) = tokio::io::duplex(1);
        let place = registrar.listener.places.clone().try_take().unwrap();
        let peer = Addr::Other("test".into());
        registrar.register(Transport::other(stream), peer, place.into_parts().0)
    }

    #[test]
    fn a_visitor_sees_each_connection_once_while_others_come_and_go() {
        let (limit, state) = (Limit::unlimited(), Extensions::default());
        let registry = Arc::new(Registry::new(limit, state, Vec::new(), None));
        let listener = ListenerEntry::plain(Addr::Other("test".into()), &registry);
        let registrar = Registrar::new(&registry, &listener, 0);
        let (mut stay, mut go) = (Vec::new(), Vec::new());
        for _ in 0..500 {
            stay.push(open(&registrar));
            go.push(open(&registrar));
        }
        let staying: BTreeSet<_> = stay.iter().map(Connection::id).collect();
        let mut seen = Vec::new();
        registry.for_each(|handle| {
            seen.push(handle.id());
            // New connections take the rows of ended ones, before and behind the visitor.
            let gone = go.split_off(go.len().saturating_sub(2));
            let ids: Vec<_> = gone.iter().map(Connection::id).collect();
            drop(gone);
            for id in ids {
                assert!(registry.get(id).is_none());
                stay.push(open(&registrar));
            }
        });
        let once: BTreeSet<_> = seen.iter().copied().collect();
        assert_eq!(once.len(), seen.len());
        assert!(once.is_superset(&staying));
        assert_eq!(registry.open(), stay.len() + go.len());
        assert!(
            stay.iter()
                .all(|conn| registry.get(conn.id()) == Some(conn.handle()))
        );
        drop((stay, go));
        assert_eq!(registry.open(), 0);
        registry.for_each(|handle| panic!("{handle:?} is open"));
    }
}
