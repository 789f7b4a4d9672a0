//! The trait of what clients come from.

use crate::{Transport, addr::Addr};
use std::{
    fmt, io,
    task::{Context, Poll},
};

/// A queue of clients that wait to be accepted; reagent's `accept/1`.
///
/// The [sockets](crate::SocketListener) of [`Server::bind`](crate::Server::bind) are listeners, and
/// [`testing`](crate::testing) has others. Waiting and accepting are two steps, so that a server takes
/// a client only once it knows that it can serve it.
///
/// Each acceptor drives a handle of its own, made by [`try_clone`](Self::try_clone), and only ever
/// from one task.
pub trait Listener: Send + 'static {
    /// Returns the address it listens on. It does not change.
    fn local_addr(&self) -> Addr;

    /// Returns whether that address is the local address of every connection; `false` for a wildcard.
    fn is_local_addr_fixed(&self) -> bool {
        true
    }

    /// Waits until a client may be waiting. It may be wrong: then `try_accept` answers
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and the next call waits again.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes the next client without waiting. Only an empty queue answers
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and then `poll_ready` waits.
    fn try_accept(&mut self) -> io::Result<Accepted>;

    /// Returns whether a client is waiting right now, if that can be told without accepting one. After
    /// `Some(false)`, `poll_ready` waits.
    ///
    /// An acceptor asks before it waits for anything scarce, such as a place under `max_connections`. A
    /// listener that cannot tell answers `None`, the default, and is taken at the word of `poll_ready`.
    fn pending(&mut self) -> Option<bool> {
        None
    }

    /// Makes another handle to the same queue.
    fn try_clone(&self) -> io::Result<Box<dyn Listener>>;

    /// Opens a new queue at the same address, beside this one (`SO_REUSEPORT`); `None` where there can be
    /// just one.
    fn try_another(&self) -> Option<io::Result<Box<dyn Listener>>> {
        None
    }

    /// Opens a new queue at the same address in the place of this one, which is lost; `None` where that
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

/// A client taken from a [`Listener`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// The stream to the client.
    pub transport: Transport,
    /// The client's address.
    pub peer: Addr,
}

impl Accepted {
    /// Makes the result of accepting the client at `peer`.
    pub fn new(transport: impl Into<Transport>, peer: Addr) -> Self {
        Accepted {
            transport: transport.into(),
            peer,
        }
    }
}
