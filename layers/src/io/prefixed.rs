//! A stream that begins with bytes read earlier.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that first returns bytes read ahead, and then continues with the inner stream.
///
/// Layers that look at the beginning of a connection, such as those of `proxy_protocol` and
/// `sniff`, give it to the inner service. The memory of the prefix is freed once it has been read.
pub struct PrefixedIo<Io> {
    io: Io,
    /// Empty once all of it has been read.
    prefix: Vec<u8>,
    read: usize,
}

impl<Io> PrefixedIo<Io> {
    /// Creates a stream that returns `prefix` before what `io` has.
    pub fn new(io: Io, prefix: Vec<u8>) -> Self {
        // An empty `Vec` may still own memory.
        let prefix = if prefix.is_empty() {
            Vec::new()
        } else {
            prefix
        };
        PrefixedIo {
            io,
            prefix,
            read: 0,
        }
    }

    /// Returns the inner stream.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    /// Returns the rest of the prefix: the bytes to be read before those of the inner stream.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix[self.read..]
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for PrefixedIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let rest = self.prefix();
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        self.read += n;
        if self.read == self.prefix.len() {
            self.prefix = Vec::new();
            self.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for PrefixedIo<Io> {
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

/// Shows the length of the prefix, not its bytes.
impl<Io: fmt::Debug> fmt::Debug for PrefixedIo<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixedIo")
            .field("io", &self.io)
            .field("prefix", &self.prefix().len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn the_prefix_comes_first_and_is_freed_once_read() {
        let mut io = PrefixedIo::new(&b" world"[..], b"hello".to_vec());
        let mut piece = [0; 3];
        assert_eq!(io.read(&mut piece).await.unwrap(), 3);
        assert_eq!((&piece, io.prefix()), (b"hel", &b"lo"[..]));
        assert_eq!(io.read(&mut piece).await.unwrap(), 2);
        assert_eq!(io.prefix.capacity(), 0);
        let mut rest = String::new();
        io.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, " world");
    }

    #[tokio::test]
    async fn a_read_of_nothing_takes_nothing() {
        let mut io = PrefixedIo::new(&b""[..], b"x".to_vec());
        assert_eq!(io.read(&mut []).await.unwrap(), 0);
        assert_eq!(io.prefix(), b"x");
        let io = PrefixedIo::new(&b""[..], Vec::with_capacity(9));
        assert_eq!(io.prefix.capacity(), 0);
    }
}
