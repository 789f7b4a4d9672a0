//! A close that gives the client time to read the last answer.

use super::Connection;
use crate::io::IoStream;

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{sleep, timeout},
};

/// While the server drains, no connection lingers longer than this.
const IN_DRAIN: Duration = Duration::from_secs(1);

/// The limits of a lingering close.
///
/// A socket that is closed with unread bytes in it, or that receives bytes after it was closed,
/// answers with a reset, and the reset may destroy the last answer before the client has read it
/// ([RFC 9112, 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)). A lingering close shuts
/// down the writing half, and then reads and discards what the client still sends, until its end of
/// file or one of these limits:
///
/// | limit | default | as in |
/// |---|---|---|
/// | [`silence`](Self::silence) | 2 s | Apache httpd's `SECONDS_TO_LINGER`; nginx's `lingering_timeout` is 5 s |
/// | [`total`](Self::total) | 5 s | a sixth of nginx's `lingering_time` and Apache httpd's `MAX_SECS_TO_LINGER`, since the connection keeps its place meanwhile |
/// | [`bytes`](Self::bytes) | 256 KiB | Go's `maxPostHandlerReadBytes` |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "limits have no effect unless they are passed on"]
pub struct Linger {
    bytes: u64,
    total: Duration,
    silence: Duration,
}

impl Linger {
    /// Creates the default limits: 2 s of silence, 5 s in total, 256 KiB.
    pub const fn new() -> Self {
        Linger {
            bytes: 256 * 1024,
            total: Duration::from_secs(5),
            silence: Duration::from_secs(2),
        }
    }

    /// Sets the maximum number of bytes to discard. The default is 256 KiB.
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the maximum duration of the close. The default is 5 s.
    pub const fn total(mut self, limit: Duration) -> Self {
        self.total = limit;
        self
    }

    /// Sets how long the client may send nothing. The default is 2 s.
    pub const fn silence(mut self, limit: Duration) -> Self {
        self.silence = limit;
        self
    }
}

impl Default for Linger {
    fn default() -> Self {
        Self::new()
    }
}

/// Shuts down the writing half of `io`, then reads and discards until the end of file or a limit.
///
/// Drop `io` afterwards to close it. For a whole connection, use [`Connection::close_lingering`],
/// which also ends sooner when the server drains.
///
/// # Example
///
/// ```
/// # async fn last_words(mut socket: tokio::net::TcpStream) -> std::io::Result<()> {
/// use tokio::io::AsyncWriteExt;
///
/// socket.write_all(b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\n\r\n").await?;
/// reagent::linger(&mut socket, reagent::Linger::default()).await;
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Cancel safe: a part of the input may have been discarded, and the stream can be dropped or
/// passed to `linger` again.
///
/// # Panics
///
/// Panics if it is polled outside of a Tokio runtime with a timer.
pub async fn linger<Io: AsyncRead + AsyncWrite + Unpin>(io: &mut Io, limits: Linger) {
    let closing = async {
        // A client that is gone has nothing left to read.
        if io.shutdown().await.is_ok() {
            discard(io, limits).await;
        }
    };
    let _ = timeout(limits.total, closing).await;
}

async fn discard<Io: AsyncRead + Unpin>(io: &mut Io, limits: Linger) {
    let mut left = limits.bytes;
    while left > 0 {
        match timeout(limits.silence, poll_fn(|cx| poll_discard(io, cx))).await {
            Ok(Ok(read)) if read > 0 => left = left.saturating_sub(read),
            _ => return,
        }
    }
}

/// Reads into a buffer on the stack, so that no connection holds one.
fn poll_discard<Io: AsyncRead + Unpin>(io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
    let mut space = [const { MaybeUninit::uninit() }; 4096];
    let mut buf = ReadBuf::uninit(&mut space);
    ready!(Pin::new(io).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len() as u64))
}

impl<Io: IoStream> Connection<Io> {
    /// Closes the connection with a lingering close, so that the client can read what was written
    /// last: see [`Linger`].
    ///
    /// While the server drains, this takes at most one second.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection is closed at once.
    pub async fn close_lingering(mut self, limits: Linger) {
        let draining = self.draining();
        let drained = async {
            draining.await;
            sleep(IN_DRAIN).await;
        };
        tokio::select! {
            biased;
            () = linger(&mut self, limits) => {}
            () = drained => {}
        }
    }
}
