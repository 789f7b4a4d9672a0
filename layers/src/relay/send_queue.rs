//! Bytes that were written to a socket and that its peer has not acknowledged. A reset discards
//! them.

use super::Resettable;
use reagent::Connection;
use std::time::Duration;

#[cfg(target_os = "linux")]
use {
    rustix::event::{PollFd, PollFlags, Timespec, poll},
    socket2::SockRef,
    std::os::fd::{AsFd, OwnedFd},
    tokio::net::TcpStream,
};

/// The send queue of a socket, accessed through a duplicate of its descriptor.
pub(super) struct SendQueue {
    #[cfg(target_os = "linux")]
    socket: Option<OwnedFd>,
}

#[cfg(target_os = "linux")]
impl SendQueue {
    pub(super) fn of_client<Io>(client: &Connection<Io>) -> Self {
        SendQueue {
            socket: client.handle().socket().ok(),
        }
    }

    pub(super) fn of_upstream(upstream: &impl Resettable) -> Self {
        let socket = upstream.socket();
        SendQueue {
            socket: socket.and_then(|socket| socket.try_clone_to_owned().ok()),
        }
    }

    /// Makes the system give up the peer once it has acknowledged nothing of the queued data for
    /// `limit`. Returns whether that is possible: only TCP supports it.
    ///
    /// A writer cannot detect this itself: a socket becomes writable only when a third of its queue
    /// is free, and a slow reader may take longer than the limit to get there.
    pub(super) fn set_stall_limit(&self, limit: Duration) -> bool {
        let set = |socket| SockRef::from(socket).set_tcp_user_timeout(Some(limit));
        self.socket
            .as_ref()
            .is_some_and(|socket| set(socket).is_ok())
    }

    /// Waits until the queue is empty or the peer is lost. Returns whether the queue can be
    /// observed.
    ///
    /// Nothing may be written meanwhile, and the socket cannot be used for writing afterwards.
    pub(super) async fn emptied(self) -> bool {
        let Some(socket) = self.socket else {
            return true;
        };
        if is_empty(&socket) {
            return true;
        }
        // The duplicate is new to the runtime, so the runtime asks the system whether the socket is
        // writable.
        match TcpStream::from_std(socket.into()) {
            Ok(socket) => socket.writable().await.is_ok(),
            Err(_) => false,
        }
    }
}

/// Returns whether the queue of a socket is empty, without waiting.
///
/// Nothing may be written afterwards.
#[cfg(target_os = "linux")]
pub(super) fn is_empty(socket: impl AsFd) -> bool {
    // With these two options, the socket is writable only while nothing is unsent and almost
    // nothing is unacknowledged. A socket other than TCP does not know the first option, and its
    // bytes are already with the peer.
    let options = SockRef::from(&socket);
    if options.set_tcp_notsent_lowat(1).is_err() {
        return true;
    }
    let _ = options.set_send_buffer_size(1);
    let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
    // A socket that has failed is reported as well. It has no queue any more.
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Returns `false`, since the queue cannot be observed.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_empty<S>(_: S) -> bool {
    false
}

/// On other systems the queue cannot be observed. An orderly end delivers what is queued, so there
/// is no reset.
#[cfg(not(target_os = "linux"))]
impl SendQueue {
    pub(super) fn of_client<Io>(_: &Connection<Io>) -> Self {
        SendQueue {}
    }

    pub(super) fn of_upstream(_: &impl Resettable) -> Self {
        SendQueue {}
    }

    pub(super) fn set_stall_limit(&self, _: Duration) -> bool {
        false
    }

    pub(super) async fn emptied(self) -> bool {
        false
    }
}
