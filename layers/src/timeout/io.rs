//! The stream that records its reads and writes.

use super::{flow::Flow, layer::Limits};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// The latest activity of a connection's stream.
#[derive(Debug)]
pub(super) struct Activity {
    pub(super) began: Instant,
    pub(super) read: Flow,
    pub(super) written: Flow,
}

impl Activity {
    pub(super) fn new(limits: &Limits) -> Self {
        Activity {
            began: Instant::now(),
            read: Flow::of_reads(limits),
            written: Flow::of_writes(limits),
        }
    }
}

/// The stream of a [`TimeoutsLayer`](super::TimeoutsLayer), which wraps the stream of the
/// connection and records its activity.
#[derive(Debug)]
pub struct TimedIo<Io> {
    io: Io,
    activity: Arc<Activity>,
}

impl<Io> TimedIo<Io> {
    pub(super) fn new(io: Io, activity: Arc<Activity>) -> Self {
        TimedIo { io, activity }
    }

    /// Returns the wrapped stream.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    fn written<T>(&self, cx: &Context<'_>, polled: &Poll<T>, n: usize) {
        let Activity { began, written, .. } = &*self.activity;
        written.note(cx, *began, polled.is_pending(), n);
    }
}

/// Returns the number of bytes that a write accepted.
fn taken(polled: &Poll<io::Result<usize>>) -> usize {
    match polled {
        Poll::Ready(Ok(n)) => *n,
        _ => 0,
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
        let Activity { began, read, .. } = &*self.activity;
        read.note(cx, *began, polled.is_pending(), n);
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
        self.written(cx, &polled, taken(&polled));
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(cx, &polled, taken(&polled));
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.written(cx, &polled, 0);
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.written(cx, &polled, 0);
        polled
    }
}
