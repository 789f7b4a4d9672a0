//! A stream whose input ends when the server drains.

use super::{ConnectionHandle, Draining};
use std::{
    fmt,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf},
    task::coop::has_budget_remaining,
};

/// The number of bytes that may still be read once the drain has begun, so that a client which
/// sends without a pause does not hold it up.
const READ_IN_DRAIN: usize = 64 * 1024;

/// A stream whose input ends when its connection is asked to finish.
///
/// A library that owns the stream of a connection, such as an RPC or WebSocket server, cannot wait
/// for [`Connection::draining`](crate::Connection::draining). But it knows what to do when its
/// client stops sending: it answers what it has received, and closes. This stream reports an end of
/// file to the library when the drain begins, and wakes a read that is waiting.
///
/// [`Connection::eof_on_drain`](crate::Connection::eof_on_drain) wraps the stream of a connection.
///
/// # Details
///
/// - Bytes that can be read without waiting are still read, up to 64 KiB. The first read that would
///   have to wait returns the end of file, and so do all reads after it. A message that has arrived
///   only in part is cut off there. Bytes that the operating system has received, but of which the
///   runtime has not been notified yet, may be lost.
/// - Writes are not affected. Once the stream has been shut down, its input no longer ends early, so
///   that [`close_lingering`](crate::Connection::close_lingering) works. Without it, a client that is
///   still sending may not receive what was written last: the system resets a connection that is
///   closed with unread input.
/// - Readers that accept a last message without its end, such as `read_line` and `LinesCodec`, take a
///   message that was cut off for a complete one. If that matters, check
///   [`ConnectionHandle::is_draining`] at the end of the input.
/// - The input also ends when the connection is over, which for a stream taken out by
///   [`BoxIo::downcast`](crate::BoxIo::downcast) is when the handler returns.
/// - The stream works without its [`Connection`](crate::Connection): after
///   [`into_parts`](crate::Connection::into_parts), and around any other stream, such as the one
///   that remains of an HTTP connection after an upgrade.
/// - A handler that returns `Ok` has the outcome [`Drained`](crate::Outcome::Drained). A library
///   that reports the end of file as an error has the outcome [`Failed`](crate::Outcome::Failed),
///   since its client has not gone away.
///
/// Do not use it under an HTTP server: hyper mistakes the end of file for a client that has gone
/// away, and drops the response that it is about to send.
///
/// # Example
///
/// ```
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use std::time::Duration;
/// use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
///
/// // A library that serves a stream until its end, and knows nothing of drains.
/// async fn echo(io: impl AsyncRead + AsyncWrite) -> std::io::Result<()> {
///     let (mut reader, mut writer) = tokio::io::split(io);
///     tokio::io::copy(&mut reader, &mut writer).await?;
///     writer.write_all(b"bye").await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .start(reagent::handle(|conn: Connection| echo(conn.eof_on_drain())))
///     .await?;
///
/// let mut client = clients.connect().await?;
/// client.write_all(b"hello ").await?;
/// let report = server.drain(Duration::from_secs(10)).await;
/// assert_eq!((report.finished, report.aborted), (1, 0));
///
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "hello bye");
/// # Ok(())
/// # }
/// ```
pub struct EofOnDrain<Io> {
    io: Io,
    handle: ConnectionHandle,
    draining: Draining,
    /// The number of bytes that may still be read once the drain has begun; 0 is the end of file.
    left: usize,
    is_shut_down: bool,
}

impl<Io> EofOnDrain<Io> {
    /// Wraps a stream of the connection that this handle is for.
    pub fn new(io: Io, handle: &ConnectionHandle) -> Self {
        EofOnDrain {
            io,
            handle: handle.clone(),
            draining: handle.draining(),
            left: READ_IN_DRAIN,
            is_shut_down: false,
        }
    }

    /// Returns the stream inside.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    /// Returns the stream inside, whose input does not end.
    pub fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Returns the stream inside, whose input does not end.
    pub fn into_inner(self) -> Io {
        self.io
    }

    /// Once the drain has begun, deducts what was read from what may still be read.
    fn count(&mut self, read: usize) {
        if self.handle.is_draining() {
            self.left = self.left.saturating_sub(read);
        }
    }
}

/// Ends the input if the drain has begun; otherwise the task is woken when it begins.
fn poll_end(draining: &mut Draining, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    if !has_budget_remaining() {
        // The read may wait only because the task has used up its budget, with more to be read.
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    let polled = Pin::new(draining).poll(cx);
    if polled.is_ready() {
        *left = 0;
    }
    polled
}

impl<Io: AsyncRead + Unpin> AsyncRead for EofOnDrain<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_shut_down {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        if this.left == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(result) => {
                this.count(buf.filled().len() - before);
                Poll::Ready(result)
            }
            Poll::Pending => poll_end(&mut this.draining, &mut this.left, cx).map(Ok),
        }
    }
}

impl<Io: AsyncBufRead + Unpin> AsyncBufRead for EofOnDrain<Io> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.is_shut_down {
            return Pin::new(&mut this.io).poll_fill_buf(cx);
        }
        if this.left == 0 {
            return Poll::Ready(Ok(&[]));
        }
        match Pin::new(&mut this.io).poll_fill_buf(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => poll_end(&mut this.draining, &mut this.left, cx).map(|()| Ok(&[][..])),
        }
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        let this = self.get_mut();
        Pin::new(&mut this.io).consume(n);
        this.count(n);
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for EofOnDrain<Io> {
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
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.is_shut_down |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }
}

impl<Io: fmt::Debug> fmt::Debug for EofOnDrain<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EofOnDrain")
            .field("io", &self.io)
            .field("has_ended", &(self.left == 0))
            .finish_non_exhaustive()
    }
}
