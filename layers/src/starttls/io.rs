//! The stream of a connection after its negotiation.

use crate::tls::TlsIo;
use reagent::{IoStream, PrefixedIo};
use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream of a connection behind a [`StartTlsLayer`](super::StartTlsLayer): encrypted, unless
/// the client sends a cancel request or may go on in plaintext.
pub struct StartTlsIo<Io: IoStream>(Inner<Io>);

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all connections are encrypted"
)]
enum Inner<Io: IoStream> {
    Tls(TlsIo<PrefixedIo<Io>>),
    Plain(PrefixedIo<Io>),
    /// Nothing is read beyond the prefix, which is a whole message.
    Message(PrefixedIo<Io>),
}

impl<Io: IoStream> StartTlsIo<Io> {
    pub(super) fn tls(io: TlsIo<PrefixedIo<Io>>) -> Self {
        StartTlsIo(Inner::Tls(io))
    }

    pub(super) fn plain(io: Io, prefix: Vec<u8>) -> Self {
        StartTlsIo(Inner::Plain(PrefixedIo::new(io, prefix)))
    }

    pub(super) fn message(io: Io, message: Vec<u8>) -> Self {
        StartTlsIo(Inner::Message(PrefixedIo::new(io, message)))
    }

    /// Returns the encrypted stream, or `None` if the connection is not encrypted.
    pub fn as_tls(&self) -> Option<&TlsIo<PrefixedIo<Io>>> {
        match &self.0 {
            Inner::Tls(io) => Some(io),
            Inner::Plain(_) | Inner::Message(_) => None,
        }
    }
}

/// Passes a call on to the stream inside.
macro_rules! inside {
    ($inner:expr, $io:pat => $call:expr) => {
        match $inner {
            Inner::Tls($io) => $call,
            Inner::Plain($io) | Inner::Message($io) => $call,
        }
    };
}

impl<Io: IoStream> AsyncRead for StartTlsIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Tls(io) => Pin::new(io).poll_read(cx, buf),
            Inner::Message(io) if io.prefix().is_empty() => Poll::Ready(Ok(())),
            Inner::Plain(io) | Inner::Message(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl<Io: IoStream> AsyncWrite for StartTlsIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        inside!(&mut self.0, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inside!(&mut self.0, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        inside!(&self.0, io => io.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(&mut self.0, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(&mut self.0, io => Pin::new(io).poll_shutdown(cx))
    }
}

impl<Io: IoStream + fmt::Debug> fmt::Debug for StartTlsIo<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Tls(io) => f.debug_tuple("Tls").field(io).finish(),
            Inner::Plain(io) => f.debug_tuple("Plain").field(io).finish(),
            Inner::Message(io) => f.debug_tuple("Message").field(io).finish(),
        }
    }
}
