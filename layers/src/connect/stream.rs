//! The stream of a connection to an upstream.

use super::plain::Plain;
use reagent::Addr;
use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(feature = "relay")]
use crate::relay::{PlainSocket, Resettable};
#[cfg(feature = "connect_tls")]
use tokio_rustls::{client::TlsStream, rustls::ClientConnection};

/// A connection to an upstream: TCP or a Unix socket, with or without TLS. A `relay` takes it as
/// its upstream.
pub struct UpstreamIo {
    stream: Stream,
    peer: Addr,
    /// Set if a write has failed with the reset of the connection, which the system reports only
    /// once, so that the end that is read next is not an orderly one.
    is_reset: bool,
    /// Whether an end without `close_notify` is an error.
    #[cfg(feature = "connect_tls")]
    requires_close_notify: bool,
}

enum Stream {
    Plain(Plain),
    #[cfg(feature = "connect_tls")]
    Tls(Box<TlsStream<Plain>>),
}

impl UpstreamIo {
    pub(super) fn plain(io: Plain, peer: Addr) -> Self {
        UpstreamIo {
            stream: Stream::Plain(io),
            peer,
            is_reset: false,
            #[cfg(feature = "connect_tls")]
            requires_close_notify: false,
        }
    }

    /// Returns the stream of a peer that has closed the connection, as `error` of a write says, with
    /// what it has sent before.
    pub(super) fn closed(io: Plain, peer: Addr, error: &io::Error) -> Self {
        UpstreamIo {
            is_reset: error.kind() == io::ErrorKind::ConnectionReset,
            ..UpstreamIo::plain(io, peer)
        }
    }

    #[cfg(feature = "connect_tls")]
    pub(super) fn tls(stream: TlsStream<Plain>, peer: Addr, requires_close_notify: bool) -> Self {
        UpstreamIo {
            stream: Stream::Tls(Box::new(stream)),
            peer,
            is_reset: false,
            requires_close_notify,
        }
    }

    /// Returns the address that accepted the connection.
    pub fn peer_addr(&self) -> &Addr {
        &self.peer
    }

    /// Returns the local address of the socket.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn local_addr(&self) -> io::Result<Addr> {
        match self.socket() {
            Plain::Tcp(stream) => stream.local_addr().map(Addr::Tcp),
            #[cfg(unix)]
            Plain::Unix(stream) => {
                let addr = stream.local_addr()?;
                Ok(Addr::Unix(addr.as_pathname().map(Into::into)))
            }
        }
    }

    /// Returns whether the connection is encrypted.
    pub fn is_secure(&self) -> bool {
        !matches!(self.stream, Stream::Plain(_))
    }

    /// Returns the state of TLS, with version, cipher suite, protocol (ALPN) and the certificates of
    /// the upstream, or `None` for a connection without TLS.
    #[cfg(feature = "connect_tls")]
    pub fn tls_session(&self) -> Option<&ClientConnection> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => Some(stream.get_ref().1),
        }
    }

    fn socket(&self) -> &Plain {
        match &self.stream {
            Stream::Plain(io) => io,
            #[cfg(feature = "connect_tls")]
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// Passes a call on to the socket or to TLS.
macro_rules! delegate {
    ($stream:expr, $method:ident $args:tt) => {
        match $stream {
            Stream::Plain(io) => Pin::new(io).$method $args,
            #[cfg(feature = "connect_tls")]
            Stream::Tls(io) => Pin::new(&mut **io).$method $args,
        }
    };
}

impl UpstreamIo {
    /// Remembers that a write has failed with the reset of the connection.
    fn note_reset(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Err(error)) = written {
            self.is_reset |= error.kind() == io::ErrorKind::ConnectionReset;
        }
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match delegate!(&mut self.stream, poll_read(cx, buf)) {
            Poll::Ready(Ok(()))
                if self.is_reset && buf.filled().len() == before && buf.remaining() > 0 =>
            {
                self.is_reset = false;
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            // Without TLS, no end is reported as this error.
            #[cfg(feature = "connect_tls")]
            Poll::Ready(Err(error))
                if error.kind() == io::ErrorKind::UnexpectedEof && !self.requires_close_notify =>
            {
                Poll::Ready(Ok(()))
            }
            polled => polled,
        }
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = delegate!(&mut self.stream, poll_write(cx, buf));
        self.note_reset(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = delegate!(&mut self.stream, poll_write_vectored(cx, bufs));
        self.note_reset(&polled);
        polled
    }

    /// TLS gathers several buffers into records.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(&mut self.stream, poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(&mut self.stream, poll_shutdown(cx))
    }
}

#[cfg(feature = "relay")]
impl Resettable for UpstreamIo {
    fn socket(&self) -> Option<crate::io::Borrowed<'_>> {
        UpstreamIo::socket(self).socket()
    }

    fn plain(&self) -> Option<PlainSocket<'_>> {
        match &self.stream {
            // The end of the socket is not that of the stream.
            _ if self.is_reset => None,
            Stream::Plain(io) => io.plain(),
            #[cfg(feature = "connect_tls")]
            Stream::Tls(_) => None,
        }
    }
}

impl fmt::Debug for UpstreamIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamIo")
            .field("peer", &self.peer)
            .field("is_secure", &self.is_secure())
            .finish_non_exhaustive()
    }
}
