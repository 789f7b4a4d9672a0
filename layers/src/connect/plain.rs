//! A socket: TCP or Unix.

#[cfg(feature = "relay")]
use crate::relay::{PlainSocket, Resettable};
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A connected socket.
#[derive(Debug)]
pub(super) enum Plain {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Plain {
    /// Returns whether there are bytes to read.
    pub(super) fn has_input(&self) -> bool {
        let socket = match self {
            Plain::Tcp(stream) => SockRef::from(stream),
            #[cfg(unix)]
            Plain::Unix(stream) => SockRef::from(stream),
        };
        matches!(socket.peek(&mut [MaybeUninit::uninit()]), Ok(1..))
    }
}

/// Passes a call on to the socket.
macro_rules! delegate {
    ($stream:expr, $method:ident $args:tt) => {
        match $stream {
            Plain::Tcp(io) => Pin::new(io).$method $args,
            #[cfg(unix)]
            Plain::Unix(io) => Pin::new(io).$method $args,
        }
    };
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(&mut *self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(&mut *self, poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(&mut *self, poll_write_vectored(cx, bufs))
    }

    /// Sockets write several buffers at once.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(&mut *self, poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(&mut *self, poll_shutdown(cx))
    }
}

#[cfg(feature = "relay")]
impl Resettable for Plain {
    fn socket(&self) -> Option<crate::io::Borrowed<'_>> {
        match self {
            Plain::Tcp(stream) => stream.socket(),
            #[cfg(unix)]
            Plain::Unix(stream) => stream.socket(),
        }
    }

    fn plain(&self) -> Option<PlainSocket<'_>> {
        match self {
            Plain::Tcp(stream) => stream.plain(),
            #[cfg(unix)]
            Plain::Unix(stream) => stream.plain(),
        }
    }
}
