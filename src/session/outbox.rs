//! What a session has sent and its client has not accepted yet.

use crate::{BoxError, connection::Connection, outcome::TimedOut};
use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout, timeout_at},
};

/// The number of bytes that the write timeout applies to. A buffer that grew larger is shrunk once
/// it is written.
pub(super) const WINDOW: usize = 64 * 1024;

/// Bytes on their way to the client, and the time that it has to accept them.
///
/// The time applies to a window: the bytes that waited when it began, at most 64 KiB. It restarts
/// when the client has accepted the whole window, not with each byte, so that a client that accepts
/// a byte now and then cannot hold up the rest for ever.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    needs_flush: bool,
    /// Whether anything was written that a reset could take from the client.
    pub(super) has_written: bool,
    /// The end of the window.
    mark: usize,
    /// The deadline of the window; `None` outside of one.
    deadline: Option<Instant>,
    pub(super) timeout: Option<Duration>,
}

impl Outbox {
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        Outbox {
            bytes: Vec::new(),
            written: 0,
            needs_flush: false,
            has_written: false,
            mark: 0,
            deadline: None,
            timeout,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        // An outbox that never becomes empty must not keep what it has written.
        if self.written >= WINDOW {
            self.bytes.drain(..self.written);
            self.mark = self.mark.saturating_sub(self.written);
            self.written = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the number of bytes that the stream has not accepted.
    pub(super) fn pending(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending() == 0 && !self.needs_flush
    }

    /// Returns the deadline for the bytes of this window; `None` means no limit.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        if self.deadline.is_none() {
            self.mark = self.written + self.pending().min(WINDOW);
            let limit = self.timeout?;
            self.deadline = Instant::now().checked_add(limit);
        }
        self.deadline
    }

    /// Writes once, or flushes if everything is written. Cancel safe.
    pub(super) async fn step(&mut self, conn: &mut Connection) -> io::Result<()> {
        if self.pending() > 0 {
            match conn.write(&self.bytes[self.written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => self.written += n,
            }
            self.needs_flush = true;
            self.has_written = true;
            if self.written >= self.mark {
                self.deadline = None;
            }
        } else if self.needs_flush {
            conn.flush().await?;
            self.needs_flush = false;
            self.deadline = None;
            self.written = 0;
            self.mark = 0;
            self.bytes.clear();
            self.bytes.shrink_to(WINDOW);
        }
        Ok(())
    }

    /// Writes as much as the stream accepts without waiting.
    pub(super) async fn flush_now(&mut self, conn: &mut Connection) -> io::Result<()> {
        let mut flushing = pin!(async {
            while !self.is_empty() {
                self.step(conn).await?;
            }
            Ok(())
        });
        poll_fn(|cx| match flushing.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await
    }

    /// Writes everything, within the time that the client has for it. Cancel safe.
    pub(super) async fn flush(&mut self, conn: &mut Connection) -> Result<(), BoxError> {
        while !self.is_empty() {
            match self.deadline() {
                None => self.step(conn).await?,
                Some(deadline) => match timeout_at(deadline, self.step(conn)).await {
                    Ok(result) => result?,
                    Err(_) => return Err(too_slow()),
                },
            }
        }
        Ok(())
    }

    /// Shuts down the writing half.
    pub(super) async fn shutdown(&self, conn: &mut Connection) -> Result<(), BoxError> {
        // An error means that the client has already closed the connection.
        let shutdown = async { drop(conn.shutdown().await) };
        match self.timeout {
            None => shutdown.await,
            Some(limit) => timeout(limit, shutdown).await.map_err(|_| too_slow())?,
        }
        Ok(())
    }
}

pub(super) fn too_slow() -> BoxError {
    TimedOut::new("write").into()
}
