//! The bytes of connections that are still open.

use reagent::{ConnectionHandle, ServerHandle};
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The bytes that have been counted for connections before their end.
#[derive(Default)]
pub(crate) struct OpenBytes {
    /// Set at the first call of `count_open`. Until then, no connection's end needs to look at
    /// `counted`.
    is_used: AtomicBool,
    counted: Mutex<HashMap<ConnectionHandle, [u64; 2]>>,
}

/// What is new about a connection since it was last counted.
pub(crate) struct Growth {
    /// The bytes received and sent.
    pub(crate) bytes: [u64; 2],
    /// Whether the connection had not been counted before.
    #[cfg(feature = "top")]
    pub(crate) is_new: bool,
}

impl OpenBytes {
    /// Calls `count` for each open connection of the server with what is new since the last call.
    pub(crate) fn count_open(
        &self,
        server: &ServerHandle,
        mut count: impl FnMut(&ConnectionHandle, Growth),
    ) {
        self.is_used.store(true, Ordering::Release);
        // A connection is removed from the server's list before the observer learns of its end, and
        // that callback waits for this lock. Therefore no connection is inserted here after its
        // end.
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        server.for_each_connection(|connection| {
            let now = bytes(connection);
            let before = counted.insert(connection.clone(), now);
            count(connection, since(before, now));
        });
    }

    /// Returns what is new about an ended connection since it was last counted.
    pub(crate) fn rest(&self, connection: &ConnectionHandle) -> Growth {
        let now = bytes(connection);
        if !self.is_used.load(Ordering::Acquire) {
            return since(None, now);
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        since(counted.remove(connection), now)
    }
}

fn bytes(connection: &ConnectionHandle) -> [u64; 2] {
    [connection.bytes_read(), connection.bytes_written()]
}

fn since(before: Option<[u64; 2]>, [read, written]: [u64; 2]) -> Growth {
    let [read_before, written_before] = before.unwrap_or_default();
    Growth {
        bytes: [read - read_before, written - written_before],
        #[cfg(feature = "top")]
        is_new: before.is_none(),
    }
}
