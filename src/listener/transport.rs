//! The stream of an accepted client.

use crate::cast::cast;
#[cfg(target_os = "linux")]
use crate::direct;
use crate::io::{BoxedStream, IoStream, delegate_io};
#[cfg(target_os = "linux")]
use std::task::ready;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    net::TcpStream,
};

/// The innermost stream of a connection, as a [`Listener`](crate::Listener) accepts it.
///
/// `TcpStream` and `UnixStream` convert into it; [`other`](Self::other) takes any other stream.
#[derive(Debug)]
pub struct Transport(Kind);

#[derive(Debug)]
enum Kind {
    Plain(PlainStream),
    Other(BoxedStream),
}

delegate_io!(impl[] for Transport {
    Transport(Kind::Plain(io)) => io,
    Transport(Kind::Other(io)) => io,
});

impl Transport {
    /// Creates a transport of a stream that is neither a TCP nor a Unix socket. The stream is
    /// boxed.
    pub fn other(io: impl IoStream) -> Self {
        Transport(Kind::Other(BoxedStream::new(io)))
    }

    /// Returns the TCP stream, or `None` if the transport is not one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.0 {
            Kind::Plain(PlainStream::Tcp(stream)) => Some(stream),
            _ => None,
        }
    }

    /// Returns the Unix stream, or `None` if the transport is not one.
    #[cfg(unix)]
    pub fn unix(&self) -> Option<&UnixStream> {
        match &self.0 {
            Kind::Plain(PlainStream::Unix(stream)) => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn split(self) -> (Option<PlainStream>, Option<BoxedStream>) {
        match self.0 {
            Kind::Plain(stream) => (Some(stream), None),
            Kind::Other(stream) => (None, Some(stream)),
        }
    }
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Self {
        Transport(Kind::Plain(PlainStream::Tcp(stream)))
    }
}

#[cfg(unix)]
impl From<UnixStream> for Transport {
    fn from(stream: UnixStream) -> Self {
        Transport(Kind::Plain(PlainStream::Unix(stream)))
    }
}

/// The interest in the end of the peer's input. Priority data is not asked for when the socket is
/// registered, so that only the end is ever reported.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOSED: Interest = Interest::PRIORITY;

/// Elsewhere, input that is not read hides the end.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOSED: Interest = Interest::READABLE;

/// A socket of the system.
#[derive(Debug)]
pub(crate) enum PlainStream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

#[cfg(unix)]
delegate_io!(impl[] for PlainStream { PlainStream::Tcp(io) => io, PlainStream::Unix(io) => io });

#[cfg(not(unix))]
delegate_io!(impl[] for PlainStream { PlainStream::Tcp(io) => io });

/// An innermost stream, whose reads and writes may be replaced by a transfer of the kernel.
pub(crate) trait MaybeDirect: AsyncRead + AsyncWrite + Unpin {
    #[inline]
    fn poll_input(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read(cx, buf)
    }

    #[inline]
    fn poll_output(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, buf)
    }
}

impl MaybeDirect for BoxedStream {}

#[cfg(not(target_os = "linux"))]
impl MaybeDirect for PlainStream {}

#[cfg(target_os = "linux")]
impl MaybeDirect for PlainStream {
    #[inline]
    fn poll_input(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !direct::replaces_read(buf) {
            return self.poll_read(cx, buf);
        }
        let moved = ready!(self.poll_direct(cx, Interest::READABLE, buf.remaining()))?;
        buf.initialize_unfilled_to(moved);
        buf.advance(moved);
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn poll_output(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match direct::replaces_write(buf) {
            true => self.poll_direct(cx, Interest::WRITABLE, buf.len()),
            false => self.poll_write(cx, buf),
        }
    }
}

impl PlainStream {
    /// Does the current transfer once the socket is ready.
    #[cfg(target_os = "linux")]
    #[cold]
    fn poll_direct(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        use std::os::fd::AsFd;
        loop {
            let is_read = interest.is_readable();
            ready!(match self {
                PlainStream::Tcp(stream) if is_read => stream.poll_read_ready(cx),
                PlainStream::Tcp(stream) => stream.poll_write_ready(cx),
                PlainStream::Unix(stream) if is_read => stream.poll_read_ready(cx),
                PlainStream::Unix(stream) => stream.poll_write_ready(cx),
            })?;
            let moved = match self {
                PlainStream::Tcp(stream) => {
                    stream.try_io(interest, || direct::run(stream.as_fd(), most))
                }
                PlainStream::Unix(stream) => {
                    stream.try_io(interest, || direct::run(stream.as_fd(), most))
                }
            };
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => return Poll::Ready(moved),
            }
        }
    }

    /// Makes the socket close with a reset (`SO_LINGER` of zero, `socket(7)`), if it is a TCP
    /// socket.
    pub(crate) fn reset_on_close(&self) {
        match self {
            // It fails only if the socket is no longer connected.
            PlainStream::Tcp(stream) => {
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            #[cfg(unix)]
            PlainStream::Unix(_) => {}
        }
    }

    /// Returns the stream of the runtime if it is a `T`.
    pub(crate) fn downcast<T: 'static>(self) -> Result<T, Self> {
        match self {
            PlainStream::Tcp(stream) => cast(stream).map_err(PlainStream::Tcp),
            #[cfg(unix)]
            PlainStream::Unix(stream) => cast(stream).map_err(PlainStream::Unix),
        }
    }

    /// Waits for the end of the peer's input without reading it. Returns `false` if that can no
    /// longer be noticed, because there is input to read.
    pub(crate) async fn closed_by_peer(&self) -> bool {
        let ready = match self {
            PlainStream::Tcp(stream) => stream.ready(CLOSED).await,
            #[cfg(unix)]
            PlainStream::Unix(stream) => stream.ready(CLOSED).await,
        };
        // It fails only if the runtime is shutting down.
        ready.map_or(true, Ready::is_read_closed)
    }

    pub(crate) fn sock_ref(&self) -> socket2::SockRef<'_> {
        match self {
            PlainStream::Tcp(stream) => stream.into(),
            #[cfg(unix)]
            PlainStream::Unix(stream) => stream.into(),
        }
    }

    #[cfg(unix)]
    pub(crate) fn peer_cred(&self) -> io::Result<tokio::net::unix::UCred> {
        match self {
            PlainStream::Unix(stream) => stream.peer_cred(),
            PlainStream::Tcp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
