//! A stream some of whose bytes have been read already.

use crate::io::delegate_writes;
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

/// A stream that first yields bytes that were read ahead, and then those of the stream inside.
///
/// An [`Upgrade`](crate::Upgrade) or a layer that inspects the beginning of a connection reads more
/// than it consumes, and gives the rest back with this type. Writes go to the stream inside. The
/// memory of the bytes is freed once they have been read.
///
/// # Example
///
/// An upgrade that rejects clients which do not begin with `PING`, and leaves those four bytes to
/// the handler:
///
/// ```
/// use reagent::{BoxError, Connection, IoStream, PrefixedIo, Rejected, Upgrade};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// struct BeginsWithPing;
///
/// impl<Io: IoStream> Upgrade<Io> for BeginsWithPing {
///     type Io = PrefixedIo<Io>;
///
///     async fn upgrade(
///         &self,
///         mut conn: Connection<Io>,
///     ) -> Result<Connection<PrefixedIo<Io>>, BoxError> {
///         let mut ahead = [0; 4];
///         conn.read_exact(&mut ahead).await?;
///         if &ahead != b"PING" {
///             return Err(Rejected::new("unknown protocol").into());
///         }
///         Ok(conn.map_io(|io| PrefixedIo::new(io, ahead.to_vec())))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let (conn, mut client) = reagent::testing::connection();
/// client.write_all(b"PING 7").await?;
/// let mut conn = BeginsWithPing.upgrade(conn).await?;
/// let mut message = [0; 6];
/// conn.read_exact(&mut message).await?;
/// assert_eq!(&message, b"PING 7");
/// # Ok(())
/// # }
/// ```
pub struct PrefixedIo<Io> {
    io: Io,
    /// Empty once all of it is read.
    prefix: Vec<u8>,
    read: usize,
}

impl<Io> PrefixedIo<Io> {
    /// Creates a stream that yields `prefix` before the bytes of `io`.
    pub fn new(io: Io, prefix: Vec<u8>) -> Self {
        // One that is empty may still have memory.
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

    /// Returns the bytes of the prefix that have not been read yet.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix[self.read..]
    }

    /// Returns the stream inside.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    /// Returns the stream inside. Reading from it bypasses the prefix.
    pub fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Returns the stream inside and the bytes of the prefix that have not been read yet.
    pub fn into_parts(mut self) -> (Io, Vec<u8>) {
        self.prefix.drain(..self.read);
        (self.io, self.prefix)
    }

    /// Takes the first `n` bytes off what is left of the prefix.
    fn advance(&mut self, n: usize) {
        self.read += n;
        if self.read == self.prefix.len() {
            self.prefix = Vec::new();
            self.read = 0;
        }
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
        self.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncBufRead + Unpin> AsyncBufRead for PrefixedIo<Io> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        match this.prefix.is_empty() {
            true => Pin::new(&mut this.io).poll_fill_buf(cx),
            false => Poll::Ready(Ok(this.prefix())),
        }
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        match self.prefix.is_empty() {
            true => Pin::new(&mut self.io).consume(n),
            false => self.advance(n),
        }
    }
}

delegate_writes!(impl[Io: AsyncWrite + Unpin] for PrefixedIo<Io> { PrefixedIo { io, .. } => io });

/// Shows the length of the prefix and not its bytes, which may be secret.
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
    use tokio::io::{AsyncBufReadExt, AsyncReadExt};

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

    #[tokio::test]
    async fn lines_are_read_across_the_end_of_the_prefix() {
        let io = PrefixedIo::new(&b"lo\nworld\n"[..], b"one\nhel".to_vec());
        let mut lines = io.lines();
        for line in ["one", "hello", "world"] {
            assert_eq!(lines.next_line().await.unwrap().as_deref(), Some(line));
        }
        assert_eq!(lines.next_line().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_was_not_read_can_be_taken_back() {
        let mut io = PrefixedIo::new(&b" world"[..], b"hello".to_vec());
        io.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!(io.into_parts(), (&b" world"[..], b"lo".to_vec()));
    }
}
