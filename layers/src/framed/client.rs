//! The client of a connection, as the service made for it sees it.

use super::{Pusher, push::Pushed};
use reagent::{ConnectionHandle, Extensions};
use std::fmt;

/// A connection, and the means to push frames to its client.
///
/// It is the request of the service inside of a [`FramedMakeLayer`](super::FramedMakeLayer).
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

    /// Returns the handle of the connection: its number, addresses and labels, the state of the
    /// server, and the means to finish or abort the connection.
    pub fn handle(&self) -> &ConnectionHandle {
        &self.handle
    }

    /// Returns the extensions that outer layers have left, such as what `tls` knows from the
    /// handshake.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns a handle that pushes frames to this client.
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
