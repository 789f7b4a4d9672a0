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
}

impl Observer for PageClients {
    fn connection_started(&self, connection: &ConnectionHandle) {
        let mut present = self.lock();
        let of_page = present.iter().enumerate().filter(|(_, other)| {
            // The label is that of the page.
            other.listener_label() == connection.listener_label()
        });
        let of_page: Vec<(usize, &ConnectionHandle)> = of_page.collect();
        if of_page.len() >= CLIENTS {
            let quietest = of_page.into_iter().min_by_key(|(_, other)| {
                let active_at = other.last_active_at();
                let seen_at = active_at.max(Some(other.accepted_at()));
                (seen_at, other.id())
            });
            if let Some((index, _)) = quietest {
                present.swap_remove(index).abort();
            }
        }
        present.push(connection.clone());
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        self.lock().retain(|other| other != event.connection);
    }
}
