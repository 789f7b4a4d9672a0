//! From answers to bytes: they are written together, and the buffer is held only while bytes are in it.

use super::FrameError;
use crate::io::buffers;
use bytes::{Buf, BytesMut};
use reagent::{BoxError, IoStream};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::codec::Encoder;

pub(super) struct Output {
    buf: BytesMut,
    /// With this many bytes or more, no more answers are made.
    high_water: usize,
    needs_flush: bool,
    timeout: Option<Duration>,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
}

impl Output {
    pub(super) fn new(high_water: usize, timeout: Option<Duration>) -> Self {
        Output {
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
            // Half an answer would garble all that come after it.
            self.buf.truncate(before);
            FrameError::Encode(error.into())
        })
    }

    /// Ready when all is written and flushed.
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

    /// When the client has to have taken something. To be asked when there is something to be taken.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let timeout = self.timeout?;
        let since = *self.stalled.get_or_insert_with(Instant::now);
        since.checked_add(timeout)
    }
}
