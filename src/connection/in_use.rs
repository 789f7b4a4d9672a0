//! Whether a connection can be closed without loss.

use super::{ConnectionHandle, entry::Entry};
use crate::listener::PlainStream;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

/// What is known about the use of a connection. It is written by plain stores.
#[derive(Debug, Default)]
pub(super) struct InUse {
    /// What layers and the handler have said: 0 for nothing, or one of the constants.
    said: AtomicU8,
    /// Whether the last attempt to write had to wait for the client.
    write_waits: AtomicBool,
}

const IDLE: u8 = 1;
const BUSY: u8 = 2;

impl InUse {
    /// Notes that a write has to wait, or that none does.
    pub(super) fn note_write(&self, waits: bool) {
        self.write_waits.store(waits, Relaxed);
    }
}

impl ConnectionHandle {
    /// Records whether the connection is in use: it serves a request, or has taken bytes that are
    /// not delivered yet. `None` means that this is not known, as at first.
    ///
    /// For layers and handlers of a protocol. A connection that is known to be idle may be closed
    /// early when resources are short; one that is in use is not. It costs a store, so it can be
    /// called for each request.
    pub fn set_busy(&self, is_busy: impl Into<Option<bool>>) {
        let said = is_busy.into().map_or(0, |is_busy| match is_busy {
            true => BUSY,
            false => IDLE,
        });
        self.entry.in_use.said.store(said, Relaxed);
    }

    /// Returns whether the connection is in use, or `None` if neither a layer nor the handler has
    /// [said so](Self::set_busy).
    pub fn is_busy(&self) -> Option<bool> {
        match self.entry.in_use.said.load(Relaxed) {
            0 => None,
            said => Some(said == BUSY),
        }
    }

    /// Returns whether bytes are on their way that a close could lose: a write waits for the
    /// client, or the socket has received bytes that nobody has read.
    ///
    /// Bytes that the socket has taken for the client do not count, since an orderly close still
    /// delivers them. It costs a system call (`FIONREAD`) if the stream is a socket.
    pub fn has_bytes_in_flight(&self) -> bool {
        let entry = &*self.entry;
        entry.in_use.write_waits.load(Relaxed) || has_unread(entry)
    }
}

#[cfg(unix)]
fn has_unread(entry: &Entry) -> bool {
    let unread = |stream: &PlainStream| rustix::io::ioctl_fionread(&*stream.sock_ref());
    matches!(entry.socket.ask(unread), Some(Ok(1..)))
}

#[cfg(not(unix))]
fn has_unread(_: &Entry) -> bool {
    false
}
