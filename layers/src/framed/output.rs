//! From answers to bytes: answers are written together, from a buffer that is held only while it
//! has bytes.

use super::FrameError;
use crate::io::buffers;
use bytes::{Buf, BytesMut};
use reagent::{BoxError, ConnectionHandle, IoStream};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::codec::Encoder;

pub(super) struct Output {
    pub(super) handle: ConnectionHandle,
    buf: BytesMut,
    /// With this many bytes or more, no more requests are served.
    high_water: usize,
    needs_flush: bool,
    timeout: Option<Duration>,
    /// The time since which the client has taken nothing.
    stalled: Option<Instant>,
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.buf.is_empty() {
            // The client has perhaps received a part of a frame, and has to notice that.
            self.handle.set_open_ended();
        }
    }
}

impl Output {
    pub(super) fn new(
        handle: ConnectionHandle,
        high_water: usize,
        timeout: Option<Duration>,
    ) -> Self {
        Output {
            handle,
            buf: BytesMut::new(),
            high_water,
            needs_flush: false,
            timeout,
            stalled: None,
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.buf.len() >= self.high_water
    }

    #[inline]
    pub(super) fn encode<C, R>(&mut self, codec: &mut C, frame: R) -> Result<(), FrameError>
    where
        C: Encoder<R>,
        <C as Encoder<R>>::Error: Into<BoxError>,
    {
        if self.buf.capacity() == 0 {
            self.buf = buffers::take_write();
        }
        let before = self.buf.len();
        codec.encode(frame, &mut self.buf).map_err(|error| {
            // A part of an answer would garble all answers after it.
            self.buf.truncate(before);
            FrameError::Encode(error.into())
        })
    }

    /// Writes and flushes. Ready once nothing is left to write.
    pub(super) fn poll_write<Io: IoStream>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
    ) -> Poll<io::Result<()>> {
        while !self.buf.is_empty() {
            match Pin::new(&mut *io).poll_write(cx, &self.buf) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(n)) => {
                    self.buf.advance(n);
                    self.needs_flush = true;
                    self.stalled = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.needs_flush {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.needs_flush = false;
            self.stalled = None;
        }
        if self.buf.capacity() > 0 {
            buffers::give_write(std::mem::take(&mut self.buf));
        }
        Poll::Ready(Ok(()))
    }

    /// Lifts the time limit.
    pub(super) fn lift_timeout(&mut self) {
        self.timeout = None;
    }

    /// Returns the time by which the client has to take something, and starts the clock. Called
    /// only while something is left to write.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let timeout = self.timeout?;
        let since = *self.stalled.get_or_insert_with(Instant::now);
        since.checked_add(timeout)
    }
}
