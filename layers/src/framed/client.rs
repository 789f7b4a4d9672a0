//! The client at the other end, for the service that is made for it.

use super::{Pusher, push::Pushed};
use reagent::{ConnectionHandle, Extensions};
use std::fmt;

/// A connection and the means to push frames to its client: the request of the service inside of a
/// [`FramedMakeLayer`](super::FramedMakeLayer).
pub struct Client<R> {
    handle: ConnectionHandle,
    extensions: Extensions,
    pusher: Pusher<R>,
}

impl<R> Client<R> {
    pub(super) fn new(
        handle: ConnectionHandle,
        extensions: Extensions,
        pushed: &Pushed<R>,
    ) -> Self {
        Client {
            handle,
            extensions,
            pusher: pushed.pusher(),
        }
    }

    /// The connection from outside: its number and addresses, the server's state, its labels, and the means to
    /// finish and to abort it.
    pub fn handle(&self) -> &ConnectionHandle {
        &self.handle
    }

    /// Returns what layers left, such as the facts of a TLS handshake.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns the handle that pushes frames to this client.
    pub fn pusher(&self) -> Pusher<R> {
        self.pusher.clone()
    }
}

impl<R> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
