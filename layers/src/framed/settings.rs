//! What a layer was configured with.

use super::{FrameError, OnError};
use reagent::Linger;
use std::{fmt, sync::Arc, time::Duration};

pub(super) struct Settings<R> {
    pub(super) in_flight: usize,
    pub(super) max_frame: usize,
    pub(super) codec_buffers: bool,
    pub(super) frame_timeout: Option<Duration>,
    pub(super) write_buffer: usize,
    pub(super) write_timeout: Option<Duration>,
    pub(super) linger: Linger,
    pub(super) on_error: Option<Arc<ErrorHandler<R>>>,
    pub(super) close_after: Option<Arc<Predicate<R>>>,
}

pub(super) type ErrorHandler<R> = dyn Fn(&FrameError) -> OnError<R> + Send + Sync;
pub(super) type Predicate<R> = dyn Fn(&R) -> bool + Send + Sync;

impl<R> Settings<R> {
    pub(super) fn new() -> Self {
        Settings {
            in_flight: 1,
            max_frame: 64 * 1024,
            codec_buffers: false,
            frame_timeout: Some(Duration::from_secs(30)),
            write_buffer: 64 * 1024,
            write_timeout: Some(Duration::from_secs(30)),
            // The time is the bound, since a client may still send what it had begun.
            linger: Linger::new().bytes(u64::MAX).total(Duration::from_secs(1)),
            on_error: None,
            close_after: None,
        }
    }

    pub(super) fn on_error(&self, error: &FrameError) -> OnError<R> {
        match &self.on_error {
            Some(on_error) => on_error(error),
            None => OnError::Close,
        }
    }
}

impl<R> Clone for Settings<R> {
    fn clone(&self) -> Self {
        Settings {
            on_error: self.on_error.clone(),
            close_after: self.close_after.clone(),
            ..*self
        }
    }
}

impl<R> fmt::Debug for Settings<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("in_flight", &self.in_flight)
            .field("max_frame", &self.max_frame)
            .field("codec_buffers", &self.codec_buffers)
            .field("frame_timeout", &self.frame_timeout)
            .field("write_buffer", &self.write_buffer)
            .field("write_timeout", &self.write_timeout)
            .field("linger", &self.linger)
            .finish_non_exhaustive()
    }
}

/// The settings that both layers have.
macro_rules! shared_settings {
    () => {
        /// Sets how many requests of one connection are served at once; their answers stay in order. Default 1, which is
        /// what clients expect where a request changes what the next one sees. At least 1.
        pub fn in_flight(mut self, requests: usize) -> Self {
            self.settings.in_flight = requests.max(1);
            self
        }

        /// Sets how many bytes a frame may have. Default 64 KiB. A connection buffers at most about twice as much, and
        /// 64 KiB.
        ///
        /// Counted are the bytes that the codec has left in the buffer, and those that it consumes for a frame,
        /// including what it skips in the same call. Bytes that it consumes and returns no frame for are done with: see
        /// [`codec_buffers`](Self::codec_buffers).
        pub fn max_frame(mut self, bytes: usize) -> Self {
            self.settings.max_frame = bytes;
            self
        }

        /// Sets whether the codec keeps parts of frames in itself. Default no.
        ///
        /// A codec may consume bytes and return no frame for two reasons: it ignores them, as an empty line or a
        /// heartbeat, or it keeps them as a part of the next frame. The layer cannot tell. By default they are
        /// ignored ones: with nothing else in the buffer no frame has begun, so the client is idle. With `true` they
        /// are a part, and count for [`max_frame`](Self::max_frame) and [`frame_timeout`](Self::frame_timeout) until the
        /// next frame is returned: set it for a codec that collects fragments. One that keeps only a length, such as
        /// `LengthDelimitedCodec`, needs it only where a client that stops right after the length should be ended.
        pub fn codec_buffers(mut self, codec_buffers: bool) -> Self {
            self.settings.codec_buffers = codec_buffers;
            self
        }

        /// Sets how long a client may take from the first byte of a frame to its last; `None` is for ever. Time in
        /// which nothing is read from it does not count. Default 30 s.
        ///
        /// Bytes that the codec ignores are no frame. A client that sends nothing but such bytes is bounded by
        /// `max_age` of the timeouts, and one that sends nothing by their
        /// idle limit.
        pub fn frame_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
            self.settings.frame_timeout = limit.into();
            self
        }

        /// Sets how many bytes of answers may wait for the client before no more requests are served. One answer, and those
        /// of requests that are being served, may come on top. Default 64 KiB, at least 1.
        pub fn write_buffer(mut self, bytes: usize) -> Self {
            self.settings.write_buffer = bytes.max(1);
            self
        }

        /// Sets how long a client may take none of what is sent to it; `None` is for ever. Default 30 s.
        pub fn write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
            self.settings.write_timeout = limit.into();
            self
        }

        /// Sets the limits of the lingering close of a client that has not closed yet: what it still sends is discarded,
        /// so that no reset takes its answers from it. Default one second in all.
        pub fn linger(mut self, limits: reagent::Linger) -> Self {
            self.settings.linger = limits;
            self
        }

        /// Sets what is done when a frame cannot be decoded, is too large, or cannot be served: an answer in its place, a
        /// close, or both. By default the connection is closed.
        pub fn on_error(
            mut self,
            f: impl Fn(&FrameError) -> OnError<R> + Send + Sync + 'static,
        ) -> Self {
            self.settings.on_error = Some(Arc::new(f));
            self
        }

        /// Closes the connection after an answer of which `is_last` is true, such as the one to `QUIT`.
        pub fn close_after(mut self, is_last: impl Fn(&R) -> bool + Send + Sync + 'static) -> Self {
            self.settings.close_after = Some(Arc::new(is_last));
            self
        }
    };
}

pub(super) use shared_settings;
