//! Whether a connection can be closed without loss.

use super::{
    ConnectionHandle,
    entry::{Entry, flag},
};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// What layers and the handler have said about the use of a connection: 0 for nothing, or one of
/// the constants. It is written by plain stores.
#[derive(Debug, Default)]
pub(super) struct InUse(AtomicU8);

const IDLE: u8 = 1;
const BUSY: u8 = 2;

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
        self.entry.in_use.0.store(said, Relaxed);
    }

    /// Returns whether the connection is in use, or `None` if neither a layer nor the handler has
    /// [said so](Self::set_busy).
    pub fn is_busy(&self) -> Option<bool> {
        match self.entry.in_use.0.load(Relaxed) {
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
        entry.has(flag::WRITE_WAITS) || has_unread(entry)
    }
}

#[cfg(unix)]
fn has_unread(entry: &Entry) -> bool {
    let unread =
        |stream: &crate::listener::PlainStream| rustix::io::ioctl_fionread(&*stream.sock_ref());
    matches!(entry.socket.ask(unread), Some(Ok(1..)))
}

#[cfg(not(unix))]
fn has_unread(_: &Entry) -> bool {
    false
}
