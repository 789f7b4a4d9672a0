//! A stream that tells whether bytes pass through memory.

use reagent::IoStream;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A wrapper that counts all bytes, and those that it sees in memory.
pub struct Spy<Io> {
    io: Io,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
pub struct Seen {
    all: AtomicUsize,
    in_memory: AtomicUsize,
}

impl<Io> Spy<Io> {
    pub fn new(io: Io, seen: Arc<Seen>) -> Self {
        Spy { io, seen }
    }
}

impl Seen {
    fn note(&self, bytes: &[u8]) {
        self.all.fetch_add(bytes.len(), Relaxed);
        let in_memory = bytes.iter().filter(|byte| **byte != 0).count();
        self.in_memory.fetch_add(in_memory, Relaxed);
    }

    /// Returns the number of all bytes, and of those that were not zero.
    pub fn counts(&self) -> (usize, usize) {
        (self.all.load(Relaxed), self.in_memory.load(Relaxed))
    }
}

impl<Io: IoStream> AsyncRead for Spy<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.seen.note(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<Io: IoStream> AsyncWrite for Spy<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.seen.note(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
