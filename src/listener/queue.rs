//! Waiting at a listening socket without accepting a client.
//!
//! Tokio's listeners wait and accept in one step. Here the steps are separate: an empty listener is
//! left with a waker that only records that a client may have arrived. Nothing is accepted before
//! that, and accepting then takes one system call. The new socket is registered as by Tokio's own
//! `accept`: readable from the start.

use super::{
    Accepted, SocketOptions,
    watch::{Watch, is_shut_down},
};
use crate::{addr::Addr, sync::WakerSlot};
use socket2::{SockRef, Socket};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::{
    io,
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};
use tokio::net::TcpListener;

/// How long a client may take for the last packet of its handshake. One that is farther away is
/// reset when the socket is closed, since its packet finds no socket.
const HANDSHAKE: Duration = Duration::from_millis(50);

/// A handle to the queue of a listening socket. It is registered with the runtime of its first use.
pub(super) struct Queue {
    state: State,
    note: Arc<Note>,
    waker: Waker,
    /// Waits for a client once the queue is known to be empty.
    watch: Watch,
    options: Arc<SocketOptions>,
}

enum State {
    /// Not registered with a runtime yet.
    Idle(Socket, Kind),
    Tcp(TcpListener),
    /// A listening socket that is registered as a stream, to get its readiness without accepting.
    /// Tokio's own listener never returns from an attempt at a Unix socket that somebody else has
    /// shut down, since that looks both empty and ready for ever.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl State {
    fn socket(&self) -> (SockRef<'_>, Kind) {
        match self {
            State::Idle(socket, kind) => (socket.into(), *kind),
            State::Tcp(listener) => (listener.into(), Kind::Tcp),
            #[cfg(unix)]
            State::Unix(listener) => (listener.into(), Kind::Unix),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Tcp,
    Unix,
}

/// Records that a client may have arrived.
struct Note {
    came: AtomicBool,
    acceptor: WakerSlot,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.came.store(true, Ordering::Release);
        self.acceptor.wake();
    }
}

impl Queue {
    pub(super) fn new(socket: Socket, kind: Kind, options: &Arc<SocketOptions>) -> Self {
        let note = Arc::new(Note {
            // Set, so that the first attempt to accept registers the waker.
            came: AtomicBool::new(true),
            acceptor: WakerSlot::default(),
        });
        let waker = Waker::from(note.clone());
        Queue {
            state: State::Idle(socket, kind),
            note,
            waker,
            watch: Watch::default(),
            options: options.clone(),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let (socket, kind) = self.state.socket();
        Ok(Self::new(socket.try_clone()?, kind, &self.options))
    }

    #[cfg(unix)]
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.state {
            State::Idle(socket, _) => socket.as_fd(),
            State::Tcp(listener) => listener.as_fd(),
            State::Unix(listener) => listener.as_fd(),
        }
    }

    #[cfg(unix)]
    pub(super) fn socket(&self) -> SockRef<'_> {
        self.state.socket().0
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.is_waiting() {
            ready!(self.watch.poll_ready(cx))?;
            self.note.came.store(true, Ordering::Release);
        }
        self.note.acceptor.register(cx.waker());
        self.register()?;
        match self.note.came.load(Ordering::Acquire) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn register(&mut self) -> io::Result<()> {
        let State::Idle(socket, kind) = &self.state else {
            return Ok(());
        };
        // If registration fails, it is retried with the original.
        let socket = socket.try_clone()?;
        self.state = match kind {
            Kind::Tcp => State::Tcp(TcpListener::from_std(socket.into())?),
            #[cfg(unix)]
            Kind::Unix => State::Unix(tokio::net::UnixStream::from_std(socket.into())?),
            #[cfg(not(unix))]
            Kind::Unix => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(())
    }

    /// Returns whether a client waits. If none does, the next `poll_ready` waits for one.
    pub(super) fn pending(&mut self) -> Option<bool> {
        self.register().ok()?;
        self.watch.look(&self.state.socket().0)
    }

    /// Refuses clients that are not in the queue yet, and returns how long those whose handshake has
    /// begun may take to get there.
    pub(super) fn refuse_new(&self) -> Duration {
        let (socket, kind) = self.state.socket();
        // If it fails, clients that come until the socket is closed are reset.
        let refused = match kind {
            Kind::Tcp => super::refusal::drop_syn(&socket).map(|()| HANDSHAKE),
            // The queue can still be emptied (`unix_stream_connect` and `unix_accept` in Linux).
            Kind::Unix => socket.shutdown(Shutdown::Read).map(|()| Duration::ZERO),
        };
        refused.unwrap_or_default()
    }

    pub(super) fn try_accept(&mut self) -> io::Result<Accepted> {
        self.register()?;
        // Before the attempt, so that a client that arrives during it is not forgotten.
        self.note.came.store(false, Ordering::Release);
        match self.poll_accept(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(accepted) => {
                // There may be another client.
                self.note.came.store(true, Ordering::Release);
                accepted
            }
            // Ready although empty: somebody else may have shut the socket down.
            Poll::Pending
                if self.note.came.load(Ordering::Acquire)
                    && is_shut_down(&self.state.socket().0) =>
            {
                self.accept_last()
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Accepts a client that was queued before the socket was shut down.
    fn accept_last(&self) -> io::Result<Accepted> {
        #[cfg(unix)]
        if let State::Unix(registered) = &self.state {
            // The runtime may not know yet of a client that the kernel knows of.
            match super::unix_accept::accept(registered) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return accepted.map(|client| self.accepted_unix(client)),
            }
        }
        let reason = "the socket was shut down";
        Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
    }

    #[cfg(unix)]
    fn accepted_unix(
        &self,
        (stream, peer): (tokio::net::UnixStream, Option<Arc<std::path::Path>>),
    ) -> Accepted {
        // Unlike those of TCP, the buffers are not inherited from the listener
        // (`unix_stream_connect` in the kernel).
        let _ = self.options.apply_buffers(&SockRef::from(&stream));
        Accepted::new(stream, Addr::Unix(peer))
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match &self.state {
            State::Idle(..) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            State::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                if cfg!(not(target_os = "linux")) {
                    // Other systems differ in which options a connection inherits from its listener
                    // (`tcp(7)`). An error means that the client has already gone, which the first
                    // read reports.
                    let _ = self.options.apply_connection(&SockRef::from(&stream));
                }
                Poll::Ready(Ok(Accepted::new(stream, Addr::Tcp(peer))))
            }
            #[cfg(unix)]
            State::Unix(registered) => {
                let attempt = || super::unix_accept::accept(registered);
                match registered.try_io(tokio::io::Interest::READABLE, attempt) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        // Registers the waker. The socket may also be ready again.
                        if registered.poll_read_ready(cx).is_ready() {
                            cx.waker().wake_by_ref();
                        }
                        Poll::Pending
                    }
                    Err(error) => Poll::Ready(Err(error)),
                    Ok(client) => Poll::Ready(Ok(self.accepted_unix(client))),
                }
            }
        }
    }
}
