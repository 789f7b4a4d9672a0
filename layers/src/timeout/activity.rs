//! What a connection's stream did last, noted as it goes by.

use super::Limits;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Times are nanoseconds since `began`, and 0 is never. What no limit asks for is not noted: to look at the clock is
/// most of what that costs.
#[derive(Debug)]
pub(super) struct Activity {
    pub(super) began: Instant,
    pub(super) read: Direction,
    pub(super) written: Direction,
}

#[derive(Debug)]
pub(super) struct Direction {
    /// Whether some limit is of idleness, or of waiting.
    notes_last: bool,
    notes_waiting: bool,
    bytes: AtomicU64,
    last: AtomicU64,
    waiting_since: AtomicU64,
}

impl Direction {
    fn new(notes_last: bool, notes_waiting: bool) -> Self {
        Direction {
            notes_last,
            notes_waiting,
            bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            waiting_since: AtomicU64::new(0),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// When bytes went last.
    pub(super) fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Relaxed))
    }

    /// Since when somebody waits for bytes to go.
    pub(super) fn waiting_since(&self) -> Option<Duration> {
        match self.waiting_since.load(Relaxed) {
            0 => None,
            since => Some(Duration::from_nanos(since)),
        }
    }

    /// Notes how an attempt went: so many bytes, or that it has to wait.
    fn note(&self, began: Instant, is_pending: bool, n: usize) {
        let now = || began.elapsed().as_nanos() as u64 | 1;
        if is_pending {
            if self.notes_waiting && self.waiting_since.load(Relaxed) == 0 {
                self.waiting_since.store(now(), Relaxed);
            }
            return;
        }
        self.waiting_since.store(0, Relaxed);
        if n > 0 {
            self.bytes
                .store(self.bytes.load(Relaxed) + n as u64, Relaxed);
            if self.notes_last {
                self.last.store(now(), Relaxed);
            }
        }
    }
}

impl Activity {
    pub(super) fn new(limits: &Limits) -> Self {
        let is_idle_limited = limits.idle.is_some();
        Activity {
            began: Instant::now(),
            read: Direction::new(is_idle_limited, limits.read.is_some()),
            // Writes seldom wait, and whoever ends the connection wants to know that one does.
            written: Direction::new(is_idle_limited, true),
        }
    }
}

/// The stream of a [`TimeoutsLayer`](super::TimeoutsLayer): the one inside, with its activity noted.
#[derive(Debug)]
pub struct TimedIo<Io> {
    io: Io,
    activity: Arc<Activity>,
}

impl<Io> TimedIo<Io> {
    pub(super) fn new(io: Io, activity: Arc<Activity>) -> Self {
        TimedIo { io, activity }
    }

    /// The stream inside.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    fn written(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let n = if let Poll::Ready(Ok(n)) = polled {
            n
        } else {
            0
        };
        self.activity
            .written
            .note(self.activity.began, polled.is_pending(), n);
        polled
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for TimedIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        let n = buf.filled().len() - before;
        self.activity
            .read
            .note(self.activity.began, polled.is_pending(), n);
        polled
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for TimedIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.activity
            .written
            .note(self.activity.began, polled.is_pending(), 0);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.activity
            .written
            .note(self.activity.began, polled.is_pending(), 0);
        polled
    }
}
