//! The two sides of a relay, and how they are closed.

use super::Resettable;
use reagent::Connection;
use socket2::SockRef;
use std::time::Duration;

/// The client and the upstream. Dropping the guard resets each of them, unless it was disarmed, so
/// that a peer cannot mistake a part for the whole.
pub(super) struct ResetGuard<Io, U: Resettable> {
    pub(super) client: Connection<Io>,
    pub(super) upstream: U,
    resets_client: bool,
    resets_upstream: bool,
}

impl<Io, U: Resettable> ResetGuard<Io, U> {
    pub(super) fn new(client: Connection<Io>, upstream: U) -> Self {
        ResetGuard {
            client,
            upstream,
            resets_client: true,
            resets_upstream: true,
        }
    }

    pub(super) fn disarm_client(&mut self) {
        self.resets_client = false;
    }

    pub(super) fn disarm_upstream(&mut self) {
        self.resets_upstream = false;
    }
}

impl<Io, U: Resettable> Drop for ResetGuard<Io, U> {
    fn drop(&mut self) {
        if self.resets_client {
            self.client.handle().reset_on_close();
        }
        if let (true, Some(socket)) = (self.resets_upstream, self.upstream.socket()) {
            // A Unix socket accepts the option and closes as usual. The call fails only on a socket
            // that is not connected.
            let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
    }
}
