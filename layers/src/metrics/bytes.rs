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
pub(super) struct Bytes {
    /// Set at the first call of `count_open`. Until then, no connection's end needs to look at
    /// `counted`.
    is_used: AtomicBool,
    counted: Mutex<HashMap<ConnectionHandle, [u64; 2]>>,
}

impl Bytes {
    /// Calls `count` for each open connection of the server with the bytes received and sent since
    /// the last call.
    pub(super) fn count_open(
        &self,
        server: &ServerHandle,
        mut count: impl FnMut(&ConnectionHandle, [u64; 2]),
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

    /// Returns the bytes that an ended connection has received and sent since it was last counted.
    pub(super) fn rest(&self, connection: &ConnectionHandle) -> [u64; 2] {
        let now = bytes(connection);
        if !self.is_used.load(Ordering::Acquire) {
            return now;
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        since(counted.remove(connection), now)
    }
}

fn bytes(connection: &ConnectionHandle) -> [u64; 2] {
    [connection.bytes_read(), connection.bytes_written()]
}

fn since(before: Option<[u64; 2]>, [read, written]: [u64; 2]) -> [u64; 2] {
    let [read_before, written_before] = before.unwrap_or_default();
    [read - read_before, written - written_before]
}
