//! The limit on the clients of a page, which silent clients cannot exhaust.

use reagent::{ConnectionHandle, Observer, event};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of clients that a page serves at a time.
const CLIENTS: usize = 20;

/// The maximum of connections of a page. It leaves room for clients that are accepted while the
/// connections that make room for them end.
pub const MAX_CONNECTIONS: usize = CLIENTS + 4;

/// The connections of the pages. When a page has as many as it serves, the next one replaces the one
/// that has been silent for longest.
#[derive(Default)]
pub struct PageClients(Mutex<Vec<ConnectionHandle>>);

impl PageClients {
    fn lock(&self) -> MutexGuard<'_, Vec<ConnectionHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection, and returns the one that it replaces.
    fn add(&self, connection: &ConnectionHandle) -> Option<ConnectionHandle> {
        let mut present = self.lock();
        // The label is that of the page.
        let of_page = present
            .iter()
            .enumerate()
            .filter(|(_, other)| other.listener_label() == connection.listener_label());
        let is_full = of_page.clone().count() >= CLIENTS;
        let quietest = of_page.min_by_key(|(_, other)| {
            let active_at = other.last_active_at();
            (active_at.max(Some(other.accepted_at())), other.id())
        });
        let index = quietest.filter(|_| is_full).map(|(index, _)| index);
        let replaced = index.map(|index| present.swap_remove(index));
        present.push(connection.clone());
        replaced
    }
}

impl Observer for PageClients {
    fn connection_started(&self, connection: &ConnectionHandle) {
        if let Some(replaced) = self.add(connection) {
            replaced.abort();
        }
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        self.lock().retain(|other| other != event.connection);
    }
}
