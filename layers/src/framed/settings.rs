//! The settings of the layers.

use super::{FrameError, OnError};
use crate::DryRun;
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
    pub(super) dry_run: DryRun,
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
            // Bounded by time alone, since a client may still send a frame that it has begun.
            linger: Linger::new().bytes(u64::MAX).total(Duration::from_secs(1)),
            dry_run: DryRun::default(),
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
            dry_run: self.dry_run.clone(),
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
            .field("dry_run", &self.dry_run.is_on())
            .finish_non_exhaustive()
    }
}

/// The methods for the settings that both layers have.
macro_rules! shared_settings {
    () => {
        /// Sets the number of requests of one connection that are served at once. The answers stay
        /// in order.
        ///
        /// The default is 1, since clients expect that a request sees the changes made by the one
        /// before. The minimum is 1.
        pub fn in_flight(mut self, requests: usize) -> Self {
            self.settings.in_flight = requests.max(1);
            self
        }

        /// Sets the maximum size of a frame, in bytes. The default is 64 KiB, which is what one
        /// read may bring.
        ///
        /// A connection buffers at most about twice that, plus 64 KiB. The size counts the bytes
        /// that the codec leaves in the buffer, and those that it consumes for a frame, including
        /// what it skips in the same call. Bytes that it consumes without returning a frame do not
        /// count; see [`codec_buffers`](Self::codec_buffers).
        pub fn max_frame(mut self, bytes: usize) -> Self {
            self.settings.max_frame = bytes;
            self
        }

        /// Sets whether the codec keeps parts of frames inside of itself. The default is `false`.
        ///
        /// A codec may consume bytes without returning a frame for two reasons: it ignores them,
        /// such as an empty line or a heartbeat, or it keeps them as a part of the next frame. The
        /// layer cannot tell which.
        ///
        /// - With `false`, such bytes count as ignored: if nothing else is in the buffer, no frame
        ///   has begun and the client is idle.
        /// - With `true`, such bytes belong to a frame: they count towards
        ///   [`max_frame`](Self::max_frame) and start the [`frame_timeout`](Self::frame_timeout),
        ///   until the next frame is returned. Set it for a codec that collects fragments.
        ///
        /// A codec that keeps only a length, such as `LengthDelimitedCodec`, works with either. It
        /// needs `true` only if clients that stop right after the length should be ended.
        pub fn codec_buffers(mut self, codec_buffers: bool) -> Self {
            self.settings.codec_buffers = codec_buffers;
            self
        }

        /// Sets how long a client may take from the first byte of a frame to its last; `None` means
        /// no limit. Time in which nothing is read from the client does not count. The default is
        /// 30 s, as hyper allows for the head of an HTTP request.
        ///
        /// A connection above the limit ends with [`FRAME_TIMEOUT`](super::FRAME_TIMEOUT). Bytes
        /// that the codec ignores are not a frame. To disconnect clients that send only such bytes,
        /// use `max_age` of the `timeout` layer, and its `idle` limit for clients that send
        /// nothing.
        pub fn frame_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
            self.settings.frame_timeout = limit.into();
            self
        }

        /// Sets the number of bytes of answers that may wait for the client before no more requests
        /// are served. The default is 64 KiB, as for reads. The minimum is 1.
        ///
        /// One more answer, and those of the requests being served, may be added to that.
        pub fn write_buffer(mut self, bytes: usize) -> Self {
            self.settings.write_buffer = bytes.max(1);
            self
        }

        /// Sets how long a client may accept nothing of what is sent to it; `None` means no limit.
        /// The default is 30 s, as for [`frame_timeout`](Self::frame_timeout).
        ///
        /// A connection above the limit ends with [`WRITE_TIMEOUT`](super::WRITE_TIMEOUT).
        pub fn write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
            self.settings.write_timeout = limit.into();
            self
        }

        /// Sets whether the [`frame_timeout`](Self::frame_timeout) and the
        /// [`write_timeout`](Self::write_timeout) are only tried. In a
        /// [`DryRun`](crate::DryRun), a connection above one of them is reported and goes on,
        /// without either. Limits on sizes are always enforced, since they bound the memory of a
        /// connection.
        pub fn dry_run(mut self, dry_run: impl Into<crate::DryRun>) -> Self {
            self.settings.dry_run = dry_run.into();
            self
        }

        /// Sets the limits of the lingering close, for a client that has not closed its side yet:
        /// what it still sends is discarded, so that a reset does not destroy the answers before
        /// the client has read them. The default is one second, and any number of bytes, since a
        /// client may still send a frame that it has begun.
        pub fn linger(mut self, limits: reagent::Linger) -> Self {
            self.settings.linger = limits;
            self
        }

        /// Sets the reaction to frames that cannot be decoded, are too large or cannot be answered:
        /// an answer in their place, a close, or both. The default is
        /// [`OnError::Close`](super::OnError::Close).
        pub fn on_error(
            mut self,
            f: impl Fn(&FrameError) -> OnError<R> + Send + Sync + 'static,
        ) -> Self {
            self.settings.on_error = Some(Arc::new(f));
            self
        }

        /// Closes the connection after an answer for which `is_last` returns `true`, such as the
        /// answer to `QUIT`.
        pub fn close_after(mut self, is_last: impl Fn(&R) -> bool + Send + Sync + 'static) -> Self {
            self.settings.close_after = Some(Arc::new(is_last));
            self
        }
    };
}

pub(super) use shared_settings;
