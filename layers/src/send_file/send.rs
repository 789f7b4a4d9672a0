//! Sending a file on a connection.

use super::cache;
use reagent::{Connection, IoStream};
use std::{
    fs::File,
    future::Future,
    io,
    ops::{Bound, RangeBounds},
    sync::Arc,
};
use tokio::io::AsyncWriteExt;

/// The size of the parts that are copied.
const COPIED: usize = 64 * 1024;

/// Sends files on a [`Connection`].
pub trait SendFile: sealed::Sealed {
    /// Sends a range of a file, and returns the number of bytes sent.
    ///
    /// `..` is the whole file as long as it is now. The part of a range that is past the end of the
    /// file is not sent, and neither is what was cut off the file meanwhile; compare the number of
    /// bytes sent with the one that you expect. Neither write to the part that is sent nor cut it
    /// off: without a copy, the client may receive the new bytes, or zeros for those that are gone,
    /// even after this has returned, as long as it has not acknowledged the old ones.
    ///
    /// Pass an `Arc<File>` to send a file more than once. The position of the file is neither used
    /// nor changed, so connections can share a file; on Windows it is changed.
    ///
    /// The bytes have been handed to the operating system when this returns; the client may not
    /// have received them.
    ///
    /// # Errors
    ///
    /// Returns the error of writing to the connection or of reading the file. A part of the range
    /// may have been sent before; [`bytes_written`](reagent::ConnectionHandle::bytes_written) tells
    /// how much was.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: if the future is dropped before it completes, a first part of the range has
    /// been sent, and its length is lost.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    fn send_file(
        &mut self,
        file: impl Into<Arc<File>> + Send,
        range: impl RangeBounds<u64> + Send,
    ) -> impl Future<Output = io::Result<u64>> + Send;
}

mod sealed {
    pub trait Sealed {}

    impl<Io> Sealed for reagent::Connection<Io> {}
}

impl<Io: IoStream> SendFile for Connection<Io> {
    async fn send_file(
        &mut self,
        file: impl Into<Arc<File>> + Send,
        range: impl RangeBounds<u64> + Send,
    ) -> io::Result<u64> {
        let file = file.into();
        let (start, end) = ends(&file, &range)?;
        let sent = send(self, &file, start, end).await?;
        self.flush().await?;
        Ok(sent)
    }
}

/// Returns where the range starts and where it ends at the latest.
fn ends(file: &File, range: &impl RangeBounds<u64>) -> io::Result<(u64, u64)> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        // A file that grows faster than it is sent has an end nevertheless.
        Bound::Unbounded => file.metadata()?.len(),
    };
    // The system knows no offsets beyond this, and no file has them.
    Ok((start, end.min(i64::MAX as u64)))
}

async fn send<Io: IoStream>(
    conn: &mut Connection<Io>,
    file: &Arc<File>,
    start: u64,
    end: u64,
) -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    if conn.is_direct() {
        return direct(conn, file, start, end).await;
    }
    copy(conn, file, start, end).await
}

/// Has the kernel move the bytes.
#[cfg(target_os = "linux")]
async fn direct<Io: IoStream>(
    conn: &mut Connection<Io>,
    file: &Arc<File>,
    start: u64,
    end: u64,
) -> io::Result<u64> {
    use std::future::poll_fn;

    /// The size of the parts that are moved, after each of which other tasks get their turn.
    const MOVED: u64 = 256 * 1024;

    let (mut at, mut warm_until) = (start, start);
    while at < end {
        if at == warm_until {
            let len = MOVED.min(end - at);
            cache::warm(file, at, len as usize).await?;
            warm_until += len;
        }
        let most = (warm_until - at) as usize;
        match poll_fn(|cx| conn.poll_send_file(cx, file, at, most)).await {
            Ok(0) => break,
            Ok(n) => at += n as u64,
            // The file is of a kind that can only be read.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(at - start + copy(conn, file, at, end).await?);
            }
            Err(error) => return Err(error),
        }
        tokio::task::yield_now().await;
    }
    Ok(at - start)
}

/// Copies the bytes through a buffer.
async fn copy<Io: IoStream>(
    conn: &mut Connection<Io>,
    file: &Arc<File>,
    start: u64,
    end: u64,
) -> io::Result<u64> {
    let (mut at, mut buf) = (start, Vec::new());
    while at < end {
        buf.resize((end - at).min(COPIED as u64) as usize, 0);
        let (read, n) = cache::read(file, buf, at).await?;
        buf = read;
        if n == 0 {
            break;
        }
        conn.write_all(&buf[..n]).await?;
        at += n as u64;
    }
    Ok(at - start)
}
