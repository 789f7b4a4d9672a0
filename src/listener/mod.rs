//! Where connections come from.

mod accept_error;
mod address;
mod bind;
mod group;
mod inspect;
mod open;
mod options;
mod queue;
mod socket;
#[cfg(target_os = "linux")]
mod systemd;
#[cfg(unix)]
mod unix_path;

pub use accept_error::ErrorClass;
pub use bind::{Bind, IntoBinds};
pub(crate) use group::{Group, Sources};
pub(crate) use open::open;
pub use options::{Keepalive, SocketOptions};
pub use socket::SocketListener;

use crate::{Addr, Transport};
use std::{
    fmt, io,
    task::{Context, Poll},
};

/// A queue of clients that wait to be accepted; reagent's `accept/1`.
///
/// The [sockets](SocketListener) of [`Server::bind`](crate::Server::bind) are one, and
/// [`testing`](crate::testing) has others. Waiting and accepting are two steps, so that a server takes
/// a client only once it knows that it can serve it.
///
/// Each acceptor drives a handle of its own, made by [`try_clone`](Self::try_clone), and only ever
/// from one task.
pub trait Listener: Send + 'static {
    /// The address it listens on. It does not change.
    fn local_addr(&self) -> Addr;

    /// Whether that address is where every client connected to; `false` for a wildcard.
    fn is_local_addr_fixed(&self) -> bool {
        true
    }

    /// Waits until a client may be waiting. It may be wrong: then `try_accept` answers
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and the next call waits again.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes the next client, with its address, without waiting. Only an empty queue answers
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and then `poll_ready` waits.
    fn try_accept(&mut self) -> io::Result<(Transport, Addr)>;

    /// Another handle to the same queue.
    fn try_clone(&self) -> io::Result<Box<dyn Listener>>;

    /// A new queue at the same address, beside this one (`SO_REUSEPORT`); `None` where there can be
    /// just one.
    fn try_another(&self) -> Option<io::Result<Box<dyn Listener>>> {
        None
    }

    /// A new queue at the same address in the place of this one, which is lost; `None` where that
    /// cannot be.
    fn try_reopen(&self) -> Option<io::Result<Box<dyn Listener>>> {
        None
    }
}

impl fmt::Debug for dyn Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.local_addr()).finish()
    }
}
