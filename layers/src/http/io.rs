//! A stream whose first bytes were read already.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream that HTTP is spoken over, and that an upgraded connection goes on with: the connection's own,
/// behind the bytes by which the version of HTTP was told.
#[derive(Debug)]
pub struct HttpIo<Io> {
    first: Vec<u8>,
    read: usize,
    ended: bool,
    io: Io,
}

impl<Io> HttpIo<Io> {
    pub(super) fn new(first: Vec<u8>, io: Io) -> Self {
        HttpIo {
            first,
            read: 0,
            ended: false,
            io,
        }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    /// The stream inside, unless its client has sent all.
    pub(super) fn into_unended(self) -> Option<Io> {
        (!self.ended).then_some(self.io)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for HttpIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.first.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            this.ended |= buf.filled().len() == before && buf.remaining() > 0;
            return Poll::Ready(Ok(()));
        }
        let rest = &this.first[this.read..];
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        this.read += n;
        if this.read == this.first.len() {
            // Its memory goes with it.
            this.first = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for HttpIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
