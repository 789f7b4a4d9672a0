//! The places of a page, which silent clients cannot keep.

use reagent::{ConnectionHandle, Observer, event};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of clients that a page serves at a time.
pub const PLACES: usize = 20;

/// The number of clients that may be accepted beyond that, until others have left for them.
pub const DOOR: usize = 4;

/// Closes the connection that has been silent for longest when another client comes to a page whose
/// places are all taken.
#[derive(Default)]
pub struct Crowd(Mutex<Vec<ConnectionHandle>>);

impl Crowd {
    fn lock(&self) -> MutexGuard<'_, Vec<ConnectionHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Crowd {
    fn connection_started(&self, connection: &ConnectionHandle) {
        let mut present = self.lock();
        let of_page = present.iter().enumerate().filter(|(_, other)| {
            // The label is that of the page.
            other.listener_label() == connection.listener_label()
        });
        let of_page: Vec<(usize, &ConnectionHandle)> = of_page.collect();
        if of_page.len() >= PLACES {
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
