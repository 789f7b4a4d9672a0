//! From bytes to frames: a bounded buffer that is held only while it has bytes.

use super::{FrameError, Settings};
use crate::io::buffers;
use bytes::BytesMut;
use reagent::{BoxError, IoStream};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::{codec::Decoder, io::poll_read_buf};

/// A part of a frame of up to this size waits for the rest in a buffer of exactly its size.
const SMALL: usize = 4 * 1024;

pub(super) struct Input {
    buf: BytesMut,
    /// Whether `buf` is the buffer that the connections of a thread share.
    is_shared: bool,
    /// The bytes of an incomplete frame that a codec with buffers has consumed.
    taken: usize,
    codec_buffers: bool,
    max_frame: usize,
    /// Whether something has come since the codec last found no frame.
    is_new: bool,
    is_eof: bool,
    clock: Clock,
}

/// The time that a client takes for a frame, without the time in which nothing is read from it.
struct Clock {
    limit: Option<Duration>,
    since: Option<Instant>,
    spent: Duration,
}

impl Input {
    pub(super) fn new<R>(settings: &Settings<R>) -> Self {
        Input {
            buf: BytesMut::new(),
            is_shared: false,
            taken: 0,
            codec_buffers: settings.codec_buffers,
            max_frame: settings.max_frame,
            is_new: false,
            is_eof: false,
            clock: Clock {
                limit: settings.frame_timeout,
                since: None,
                spent: Duration::ZERO,
            },
        }
    }

    pub(super) fn is_eof(&self) -> bool {
        self.is_eof
    }

    /// Decodes the next frame of what was read; `None` if more has to be read.
    #[inline]
    pub(super) fn next<C>(&mut self, codec: &mut C) -> Result<Option<C::Item>, FrameError>
    where
        C: Decoder,
        C::Error: Into<BoxError>,
    {
        if !self.is_new {
            return Ok(None);
        }
        let before = self.buf.len();
        let decoded = match self.is_eof {
            false => codec.decode(&mut self.buf),
            true => codec.decode_eof(&mut self.buf),
        };
        let frame = decoded.map_err(|error| FrameError::Decode(error.into()))?;
        let consumed = before.saturating_sub(self.buf.len());
        let size = match &frame {
            Some(_) => self.taken + consumed,
            None => {
                self.is_new = false;
                if self.codec_buffers {
                    self.taken += consumed;
                } else if consumed > 0 {
                    // The codec skipped something, such as a heartbeat. What is left begins a
                    // frame.
                    self.clock.restart();
                }
                self.taken + self.buf.len()
            }
        };
        if size > self.max_frame {
            return Err(FrameError::TooLarge(self.max_frame));
        }
        if frame.is_some() {
            self.taken = 0;
            self.clock.restart();
        }
        Ok(frame)
    }

    /// Reads what is there, and returns 0 at the end of the stream. Gives back the buffer if there
    /// is nothing.
    pub(super) fn poll_read<Io: IoStream>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
    ) -> Poll<io::Result<usize>> {
        let polled = if self.is_shared {
            buffers::make_room(&mut self.buf);
            poll_read_buf(Pin::new(io), cx, &mut self.buf)
        } else {
            let mut buf = buffers::take_read();
            buf.extend_from_slice(&self.buf);
            let polled = poll_read_buf(Pin::new(io), cx, &mut buf);
            match polled.is_pending() {
                true => buffers::give_read(buf),
                false => {
                    self.buf = buf;
                    self.is_shared = true;
                }
            }
            polled
        };
        match &polled {
            Poll::Ready(Ok(n)) => {
                self.is_new = true;
                self.is_eof = *n == 0;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.release(),
        }
        polled
    }

    fn release(&mut self) {
        if self.is_shared && self.buf.len() <= SMALL {
            let part = BytesMut::from(&self.buf[..]);
            buffers::give_read(std::mem::replace(&mut self.buf, part));
            self.is_shared = false;
        }
    }

    /// Returns whether the client has begun a frame.
    pub(super) fn has_part(&self) -> bool {
        !self.buf.is_empty() || self.taken > 0
    }

    /// Returns the time by which the client has to send the rest of a frame that it has begun, and
    /// starts the clock.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        if !self.has_part() {
            return None;
        }
        let limit = self.clock.limit?;
        let since = *self.clock.since.get_or_insert_with(Instant::now);
        since.checked_add(limit.saturating_sub(self.clock.spent))
    }

    /// Lifts the time limit of frames.
    pub(super) fn lift_timeout(&mut self) {
        self.clock.limit = None;
    }

    /// Stops the clock while nothing is read from the client.
    pub(super) fn pause(&mut self) {
        self.clock.pause();
    }
}

impl Clock {
    #[inline]
    fn restart(&mut self) {
        self.since = None;
        self.spent = Duration::ZERO;
    }

    fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.spent += since.elapsed();
        }
    }
}
