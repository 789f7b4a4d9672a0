//! Connections to a server, in memory or over TCP.

use crate::listening::{Listening, Phase, Settings};
use reagent::{
    Accepted, Addr, Bind, Listener, SocketListener,
    testing::{Clients, FlakyListener, MemoryListener, Script},
};
use std::{
    io,
    net::{Shutdown, SocketAddr},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// One address of a server, from the side of its clients.
pub struct Place {
    way: Way,
    pub script: Script,
    pub listening: Listening,
}

/// A socket that is bound again when it is lost, like one opened by the server.
struct Rebound(SocketListener);

impl Listener for Rebound {
    fn local_addr(&self) -> Addr {
        self.0.local_addr()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn try_accept(&mut self) -> io::Result<Accepted> {
        self.0.try_accept()
    }

    fn pending(&mut self) -> Option<bool> {
        self.0.pending()
    }

    fn refuse_new(&self) -> Duration {
        self.0.refuse_new()
    }

    /// Only the original handle, which the group keeps, is reopened.
    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        self.0.try_clone()
    }

    fn try_reopen(&self) -> Option<io::Result<Box<dyn Listener>>> {
        let addr = self.0.local_addr().socket_addr()?;
        let bound = std::net::TcpListener::bind(addr).and_then(SocketListener::try_from);
        Some(bound.map(|listener| Box::new(Rebound(listener)) as Box<dyn Listener>))
    }
}

enum Way {
    Memory(Clients),
    /// Holds the listening socket until the test breaks it.
    Tcp(SocketAddr, Option<std::net::TcpListener>),
}

impl Place {
    /// Opens a listener, to which the result connects.
    pub fn open(
        in_memory: bool,
        is_like_socket: bool,
        settings: Settings,
    ) -> io::Result<(Bind, Place)> {
        let (way, (listener, script)) = if in_memory {
            let (listener, clients) = match is_like_socket {
                true => MemoryListener::like_socket(),
                false => MemoryListener::new(),
            };
            (Way::Memory(clients), FlakyListener::new(listener))
        } else {
            let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
            let way = Way::Tcp(socket.local_addr()?, Some(socket.try_clone()?));
            (way, FlakyListener::new(Rebound(socket.try_into()?)))
        };
        let listening = Listening::new(listener.local_addr(), settings);
        let bind = listening.bind(listener);
        let place = Place {
            way,
            script,
            listening,
        };
        Ok((bind, place))
    }

    /// Returns whether the queue is known to be empty. Clients that have left and scripted errors
    /// count too.
    pub fn is_empty(&self) -> bool {
        self.waiting() == Some(0) && self.errors() == 0
    }

    /// Returns the number of clients in the queue, if it is known. Those that have left count too.
    pub fn waiting(&self) -> Option<usize> {
        match &self.way {
            Way::Memory(clients) => Some(clients.waiting()),
            Way::Tcp(..) => None,
        }
    }

    /// Returns the number of accepts that are going to fail.
    pub fn errors(&self) -> usize {
        match self.listening.phase {
            Phase::Closed => 0,
            _ => self.script.remaining(),
        }
    }

    pub async fn connect(&self) -> io::Result<Stream> {
        Ok(match &self.way {
            Way::Memory(clients) => Stream::Memory(clients.connect().await?),
            Way::Tcp(addr, _) => Stream::Tcp(TcpStream::connect(addr).await?),
        })
    }

    /// Makes the listener fail so that it has to be reopened.
    pub fn lose(&mut self, failed_reopens: usize) {
        match &mut self.way {
            Way::Memory(_) => {
                let in_use = || io::Error::from_raw_os_error(libc::EADDRINUSE);
                self.script
                    .fail_reopens((0..failed_reopens).map(|_| in_use()));
                self.script
                    .fail_accepts([io::Error::from_raw_os_error(libc::EINVAL)]);
            }
            Way::Tcp(_, socket) => {
                if let Some(socket) = socket.take() {
                    // An error means that the server has already closed it.
                    let _ = socket2::SockRef::from(&socket).shutdown(Shutdown::Both);
                }
            }
        }
    }

    /// Drops the handle of the listening socket, which would otherwise keep it open after the
    /// server.
    pub fn release(&mut self) {
        if let Way::Tcp(_, socket) = &mut self.way {
            *socket = None;
        }
    }
}

/// A client's side of a connection. It never blocks: operations that would are retried later.
pub enum Stream {
    Memory(tokio::io::DuplexStream),
    Tcp(TcpStream),
}

impl Stream {
    /// Reads what is available. `Some(0)` is the end, orderly or not.
    pub fn read(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let mut bytes = ReadBuf::new(bytes);
        let mut cx = Context::from_waker(Waker::noop());
        let polled = match self {
            Stream::Memory(stream) => Pin::new(stream).poll_read(&mut cx, &mut bytes),
            Stream::Tcp(stream) => Pin::new(stream).poll_read(&mut cx, &mut bytes),
        };
        match polled {
            Poll::Ready(Ok(())) => Some(bytes.filled().len()),
            Poll::Ready(Err(_)) => Some(0),
            Poll::Pending => None,
        }
    }

    /// Writes what fits, and returns the length. It is 0 if the server has closed the connection.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        let polled = match self {
            Stream::Memory(stream) => Pin::new(stream).poll_write(&mut cx, bytes),
            Stream::Tcp(stream) => Pin::new(stream).poll_write(&mut cx, bytes),
        };
        match polled {
            Poll::Ready(Ok(count)) => count,
            _ => 0,
        }
    }

    pub fn half_close(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = match self {
            Stream::Memory(stream) => Pin::new(stream).poll_shutdown(&mut cx),
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(&mut cx),
        };
    }

    /// Makes the socket close with a reset.
    pub fn reset(&self) {
        if let Stream::Tcp(stream) = self {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}
