//! The innermost stream of a connection: it counts bytes, sees an abort, and closes as it is told.

use super::{
    Transport,
    entry::{Entry, OpenGuard, flag},
};
use crate::Disconnect;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A transport and its connection's leg, in the order in which they go: only a closed socket gives
/// its place to the next client.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) transport: Transport,
    pub(crate) leg: OpenGuard,
}

impl Socket {
    fn entry(&self) -> &Entry {
        self.leg.entry()
    }

    fn aborted<T>(&self) -> Option<Poll<io::Result<T>>> {
        self.entry().has(flag::ABORTED).then(|| {
            Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection was aborted by its server",
            )))
        })
    }

    /// Remembers how the client went, if this says so: what its handler makes of the error later is
    /// then known to be about the client.
    fn noted<T>(&self, result: &io::Result<T>) {
        if let Err(error) = result {
            if let Some(how) = Disconnect::from_kind(error.kind()) {
                self.entry().client_went(how);
            }
        }
    }

    /// Counts what was written, and has an abort wake who waits to write.
    fn written(
        &self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Ready(Ok(n)) => add(&self.entry().bytes_written, *n),
            Poll::Ready(result) => self.noted(result),
            Poll::Pending => {
                self.entry().writer.register(cx.waker());
                // An abort that came before the waker stood there has woken nobody.
                return self.aborted().unwrap_or(Poll::Pending);
            }
        }
        polled
    }
}

/// Adds without a locked instruction: reads, and likewise writes, follow one another.
fn add(counter: &AtomicU64, n: usize) {
    counter.store(
        counter.load(Ordering::Relaxed) + n as u64,
        Ordering::Relaxed,
    );
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(aborted) = self.aborted() {
            return aborted;
        }
        let before = buf.filled().len();
        let is_full = buf.remaining() == 0;
        let polled = Pin::new(&mut self.transport).poll_read(cx, buf);
        if polled.is_pending() {
            self.entry().reader.register(cx.waker());
            return self.aborted().unwrap_or(Poll::Pending);
        }
        match (&polled, buf.filled().len() - before) {
            (Poll::Ready(Ok(())), 0) if !is_full => self.entry().client_went(Disconnect::Eof),
            (Poll::Ready(result), 0) => self.noted(result),
            (_, read) => add(&self.entry().bytes_read, read),
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(aborted) = self.aborted() {
            return aborted;
        }
        let polled = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(aborted) = self.aborted() {
            return aborted;
        }
        let polled = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.transport).poll_flush(cx);
        if let Poll::Ready(result) = &polled {
            self.noted(result);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.transport).poll_shutdown(cx);
        if let Poll::Ready(result) = &polled {
            self.noted(result);
        }
        polled
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.entry().has(flag::RESET) {
            self.transport.reset_on_close();
        }
    }
}
