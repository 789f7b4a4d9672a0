//! Waiting at a listening socket without taking a client from it.
//!
//! Tokio's listeners wait and accept in one step. Here the two are apart: a listener that has nobody is
//! left with a waker that only takes note that somebody came. Until that is known nothing is
//! accepted, and then accepting is one system call; and what it returns is registered as Tokio's own
//! `accept` does it, readable from the start.

use super::SocketOptions;
use crate::sync::WakerSlot;
use crate::{Addr, Transport};
use socket2::Socket;
use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
};
use tokio::{net::TcpListener, task::coop::unconstrained};

/// A handle to the queue of a listening socket. It joins the runtime of who first uses it.
pub(super) struct Queue {
    state: State,
    note: Arc<Note>,
    waker: Waker,
    options: Arc<SocketOptions>,
}

enum State {
    Idle {
        socket: Socket,
        is_tcp: bool,
    },
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

/// Somebody may have come.
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
    pub(super) fn new(socket: Socket, is_tcp: bool, options: &Arc<SocketOptions>) -> Self {
        let note = Arc::new(Note {
            came: AtomicBool::new(false),
            acceptor: WakerSlot::default(),
        });
        let waker = Waker::from(note.clone());
        Queue {
            state: State::Idle { socket, is_tcp },
            note,
            waker,
            options: options.clone(),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let (socket, is_tcp) = match &self.state {
            State::Idle { socket, is_tcp } => (socket.try_clone()?, *is_tcp),
            State::Tcp(listener) => (socket2::SockRef::from(listener).try_clone()?, true),
            #[cfg(unix)]
            State::Unix(listener) => (socket2::SockRef::from(listener).try_clone()?, false),
        };
        Ok(Self::new(socket, is_tcp, &self.options))
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.note.acceptor.register(cx.waker());
        if let State::Idle { .. } = self.state {
            self.register()?;
            // The first attempt leaves the note, unless somebody is there.
            self.note.came.store(true, Ordering::Release);
        }
        match self.note.came.load(Ordering::Acquire) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn register(&mut self) -> io::Result<()> {
        if let State::Idle { socket, is_tcp } = &self.state {
            let socket = socket.try_clone()?;
            self.state = match is_tcp {
                true => State::Tcp(TcpListener::from_std(socket.into())?),
                #[cfg(unix)]
                false => State::Unix(tokio::net::UnixListener::from_std(socket.into())?),
                #[cfg(not(unix))]
                false => return Err(io::ErrorKind::Unsupported.into()),
            };
        }
        Ok(())
    }

    pub(super) fn try_accept(&mut self) -> io::Result<(Transport, Addr)> {
        if let State::Idle { socket, is_tcp } = &self.state {
            return self.accept_unregistered(socket, *is_tcp);
        }
        // Before the attempt, so that who comes during it is not forgotten.
        self.note.came.store(false, Ordering::Release);
        // Budgets are kept by the acceptor: a spent one looks like an empty queue here.
        let accepted = pin!(unconstrained(poll_fn(|cx| self.poll_accept(cx))));
        match accepted.poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(accepted) => {
                // Somebody else may be there.
                self.note.came.store(true, Ordering::Release);
                accepted
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Asks the kernel, without the runtime that may hear later of who is there.
    fn accept_unregistered(&self, socket: &Socket, is_tcp: bool) -> io::Result<(Transport, Addr)> {
        let (stream, peer) = socket.accept()?;
        stream.set_nonblocking(true)?;
        if let (true, Some(peer)) = (is_tcp, peer.as_socket()) {
            let stream = tokio::net::TcpStream::from_std(stream.into())?;
            if cfg!(not(target_os = "linux")) {
                self.set_options(&stream);
            }
            return Ok((stream.into(), Addr::Tcp(peer)));
        }
        #[cfg(unix)]
        {
            let _ = self.options.apply_buffers(&socket2::SockRef::from(&stream));
            let stream = tokio::net::UnixStream::from_std(stream.into())?;
            Ok((
                stream.into(),
                Addr::Unix(peer.as_pathname().map(Into::into)),
            ))
        }
        #[cfg(not(unix))]
        Err(io::ErrorKind::Unsupported.into())
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Transport, Addr)>> {
        match &self.state {
            State::Idle { .. } => unreachable!("registered before"),
            State::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                if cfg!(not(target_os = "linux")) {
                    self.set_options(&stream);
                }
                Poll::Ready(Ok((stream.into(), Addr::Tcp(peer))))
            }
            #[cfg(unix)]
            State::Unix(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                // Unlike TCP's, they do not come from the listener (`unix_stream_connect` in the kernel).
                let _ = self.options.apply_buffers(&socket2::SockRef::from(&stream));
                let peer = peer.as_pathname().map(Into::into);
                Poll::Ready(Ok((stream.into(), Addr::Unix(peer))))
            }
        }
    }

    /// On Linux a connection has the options of its listener (`tcp(7)`); which of them elsewhere, and
    /// whether any, differs.
    fn set_options(&self, stream: &tokio::net::TcpStream) {
        // It fails when the client is gone already, and who reads will learn that.
        let _ = self
            .options
            .apply_connection(&socket2::SockRef::from(stream));
    }
}
