//! Finding out for certain whether a client waits at a listening socket, without accepting it.

use socket2::SockRef;
use std::{
    io,
    task::{Context, Poll},
};

/// Waits for a client at a socket whose queue was found empty.
///
/// An acceptor that cannot serve a client at once must not accept it, and must not hold anything
/// for a client that does not exist. `poll(2)` reports whether there is one. To wait for one
/// without a call that could accept it, a duplicate of the descriptor is registered with the
/// runtime a second time, through the only public type of Tokio that has separate readiness: a
/// stream, which is never read or written.
#[derive(Default)]
pub(super) struct Watch {
    registered: Option<tokio::net::TcpStream>,
    is_waiting: bool,
}

impl Watch {
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Waits for a client, if `look` found none.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let (true, Some(registered)) = (self.is_waiting, &self.registered) {
            std::task::ready!(registered.poll_read_ready(cx))?;
        }
        self.is_waiting = false;
        Poll::Ready(Ok(()))
    }

    /// Returns whether a client waits at `socket`. If none does, `poll_ready` waits for one.
    #[cfg(unix)]
    pub(super) fn look(&mut self, socket: &SockRef<'_>) -> Option<bool> {
        use tokio::io::Interest;

        self.is_waiting = false;
        // The readiness is cleared before the queue is examined, so that no client that arrives in
        // between is missed.
        if let Some(registered) = &self.registered {
            let forget = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ = registered.try_io(Interest::READABLE, forget);
        }
        if has_client(socket)? {
            return Some(true);
        }
        if self.registered.is_none() {
            // A new registration reports a client that is there by then.
            self.registered = Some(register(socket).ok()?);
        }
        self.is_waiting = true;
        Some(false)
    }

    #[cfg(not(unix))]
    pub(super) fn look(&mut self, _: &SockRef<'_>) -> Option<bool> {
        None
    }
}

#[cfg(unix)]
fn register(socket: &SockRef<'_>) -> io::Result<tokio::net::TcpStream> {
    tokio::net::TcpStream::from_std(socket.try_clone()?.into())
}

/// Asks the kernel, without waiting, whether the queue holds a client; `None` if that cannot be
/// determined. An error of the socket counts as a client: `accept` will report it.
#[cfg(unix)]
fn has_client(socket: &SockRef<'_>) -> Option<bool> {
    poll_now(socket).map(|events| !events.is_empty())
}

/// Returns whether the socket will never accept again.
#[cfg(unix)]
pub(super) fn is_shut_down(socket: &SockRef<'_>) -> bool {
    use rustix::event::PollFlags;

    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    // A Unix socket that was shut down for reading only.
    #[cfg(target_os = "linux")]
    let gone = gone | PollFlags::RDHUP;
    poll_now(socket).is_some_and(|events| events.intersects(gone))
}

#[cfg(not(unix))]
pub(super) fn is_shut_down(_: &SockRef<'_>) -> bool {
    false
}

#[cfg(unix)]
fn poll_now(socket: &SockRef<'_>) -> Option<rustix::event::PollFlags> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let wanted = PollFlags::IN;
    #[cfg(target_os = "linux")]
    let wanted = wanted | PollFlags::RDHUP;
    let mut fds = [PollFd::new(&**socket, wanted)];
    loop {
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(_) => return Some(fds[0].revents()),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}
