//! The limit on the clients of a page, which silent clients cannot exhaust.

use reagent::{ConnectionHandle, Observer, event};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// The number of clients that a page serves at a time.
const CLIENTS: usize = 20;

/// The maximum of connections of a page. It leaves room for clients that are accepted while the
/// connections that make room for them end.
pub const MAX_CONNECTIONS: usize = CLIENTS + 4;

/// How long a client must be silent before it gives way to another one.
const SILENT: Duration = Duration::from_millis(100);

/// The connections of the pages. When a page has more than it serves, the one that has been silent
/// for longest makes room. Those that have sent nothing are the first to go. Further clients wait in
/// the kernel's queue.
#[derive(Clone, Default)]
pub struct PageClients(Arc<Mutex<Vec<ConnectionHandle>>>);

impl PageClients {
    fn lock(&self) -> MutexGuard<'_, Vec<ConnectionHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a connection of the page of `newcomer`, unless others end by themselves first.
    async fn make_room(self, newcomer: ConnectionHandle) {
        loop {
            match self.quietest(&newcomer) {
                None => return,
                Some((connection, silent_at)) if silent_at <= Instant::now() => {
                    self.lock().retain(|other| *other != connection);
                    return connection.abort();
                }
                Some((_, silent_at)) => sleep_until(silent_at).await,
            }
        }
    }

    /// Returns the connection that is to make room, and the time at which it may be ended, if the
    /// page has too many.
    fn quietest(&self, newcomer: &ConnectionHandle) -> Option<(ConnectionHandle, Instant)> {
        let present = self.lock();
        let of_page = present
            .iter()
            // The label is that of the page.
            .filter(|other| other.listener_label() == newcomer.listener_label());
        if of_page.clone().count() <= CLIENTS {
            return None;
        }
        let silent_at = |connection: &ConnectionHandle| {
            let active_at = connection.last_active_at();
            active_at.map_or(connection.accepted_at(), |at| {
                at.max(connection.accepted_at())
            }) + SILENT
        };
        let quietest = of_page.min_by_key(|connection| {
            let has_asked = connection.bytes_read() > 0;
            (has_asked, silent_at(connection), connection.id())
        });
        quietest.map(|connection| (connection.clone(), silent_at(connection)))
    }
}

impl Observer for PageClients {
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends once the page has no more clients than it serves"
    )]
    fn connection_started(&self, connection: &ConnectionHandle) {
        self.lock().push(connection.clone());
        if self.quietest(connection).is_some() {
            tokio::spawn(self.clone().make_room(connection.clone()));
        }
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        self.lock().retain(|other| other != event.connection);
    }
}
