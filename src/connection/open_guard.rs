//! The guard that keeps a connection open, and the end of the connection.

use super::{
    ConnectionHandle,
    entry::{Entry, flag},
};

/// One of the parts that keep a connection open: its stream or its handler's future.
#[derive(Debug)]
pub(crate) struct OpenGuard {
    handle: ConnectionHandle,
}

impl OpenGuard {
    /// Returns the first guard of a new connection, which its entry has already counted.
    pub(super) fn first(handle: ConnectionHandle) -> OpenGuard {
        OpenGuard { handle }
    }

    /// Creates another guard. If the connection has already ended, the guard keeps nothing open.
    pub(crate) fn new(handle: &ConnectionHandle) -> OpenGuard {
        handle.entry.open.enter();
        OpenGuard {
            handle: handle.clone(),
        }
    }

    pub(crate) fn handle(&self) -> &ConnectionHandle {
        &self.handle
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.handle.entry
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let entry = &self.handle.entry;
        if !entry.open.leave() {
            return;
        }
        let place = entry.registrar.end(&self.handle);
        entry.set(flag::CLOSED);
        entry.changed.notify_waiters();
        // Last of all, so that the limit is never exceeded.
        if let Some(place) = place {
            entry.registrar.give_back(place);
        }
    }
}
