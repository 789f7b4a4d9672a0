//! The stream that HTTP is spoken over.

use super::{activity::Activity, kind};
use crate::{
    dry_run::Trial,
    time::{DeadlineTimer, FAR},
};
use reagent::{PrefixedIo, TimedOut};
use std::{
    fmt,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Pieces of up to this many bytes in all are copied together and written as one. A head and a
/// short body take 6 % less time with `send(2)` than with `writev(2)`, and TLS makes one record of
/// them.
const COPIED: usize = 4096;

/// The stream that HTTP is spoken over, which an upgraded connection continues to use.
///
/// It is the stream of the connection, preceded by the bytes that were read to find out the version
/// of HTTP.
pub struct HttpIo<Io> {
    io: PrefixedIo<Io>,
    has_ended: bool,
    is_blocked: bool,
    activity: Arc<Activity>,
    upgraded_idle: Option<Duration>,
    trial: Option<Trial>,
    /// The time limit, once the stream is upgraded and used.
    idle: Option<Box<Idle>>,
}

/// The time limit of an upgraded stream. Its two directions may belong to different tasks.
struct Idle {
    ends: Instant,
    read: Pin<Box<DeadlineTimer>>,
    write: Pin<Box<DeadlineTimer>>,
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

impl<Io> HttpIo<Io> {
    pub(super) fn new(
        first: Vec<u8>,
        io: Io,
        activity: Arc<Activity>,
        upgraded_idle: Option<Duration>,
        trial: Option<Trial>,
    ) -> Self {
        HttpIo {
            io: PrefixedIo::new(io, first),
            has_ended: false,
            is_blocked: false,
            activity,
            upgraded_idle,
            trial,
            idle: None,
        }
    }

    /// Returns the inner stream.
    pub fn get_ref(&self) -> &Io {
        self.io.get_ref()
    }

    /// Returns the inner stream, unless the client has ended its side.
    pub(super) fn into_unended(self) -> Option<PrefixedIo<Io>> {
        (!self.has_ended).then_some(self.io)
    }

    /// Applies the time limit of an upgraded stream to the result of an operation.
    fn limited<T>(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(limit) = self.upgraded_idle else {
            return polled;
        };
        if !self.activity.is_upgraded() {
            return polled;
        }
        let ends = || Instant::now() + limit.min(FAR);
        let idle = self.idle.get_or_insert_with(|| {
            Box::new(Idle {
                ends: ends(),
                read: Box::pin(DeadlineTimer::new()),
                write: Box::pin(DeadlineTimer::new()),
            })
        });
        if polled.is_ready() {
            idle.ends = ends();
            return polled;
        }
        let timer = match direction {
            Direction::Read => &mut idle.read,
            Direction::Write => &mut idle.write,
        };
        ready!(timer.as_mut().poll(cx, idle.ends));
        let trial = self.trial.as_ref();
        if trial.is_some_and(|trial| trial.spares(kind::UPGRADED_IDLE)) {
            self.upgraded_idle = None;
            self.idle = None;
            return Poll::Pending;
        }
        let error = TimedOut::new(kind::UPGRADED_IDLE);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)))
    }

    /// Notes whether the client takes what is written, and applies the time limit.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_pending() != self.is_blocked {
            self.is_blocked = polled.is_pending();
            match self.is_blocked {
                true => self.activity.block(),
                false => self.activity.unblock(),
            }
        }
        self.limited(cx, Direction::Write, polled)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for HttpIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        let has_read = buf.filled().len() != before;
        self.has_ended |= polled.is_ready() && !has_read && buf.remaining() > 0;
        self.limited(cx, Direction::Read, polled)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for HttpIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        let polled = if bufs.len() < 2 || bufs.iter().map(|it| it.len()).sum::<usize>() > COPIED {
            io.poll_write_vectored(cx, bufs)
        } else {
            let mut space = [const { MaybeUninit::uninit() }; COPIED];
            let mut pieces = ReadBuf::uninit(&mut space);
            bufs.iter().for_each(|piece| pieces.put_slice(piece));
            io.poll_write(cx, pieces.filled())
        };
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<Io: fmt::Debug> fmt::Debug for HttpIo<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpIo")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// The sizes of the writes, and whether each was in pieces.
    #[derive(Default)]
    struct Writes(Vec<(usize, bool)>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push((buf.len(), false));
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let n = bufs.iter().map(|piece| piece.len()).sum();
            self.0.push((n, true));
            Poll::Ready(Ok(n))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn short_pieces_go_as_one_and_long_ones_as_they_are() {
        let mut io = HttpIo::new(Vec::new(), Writes::default(), Arc::default(), None, None);
        for (one, two, in_pieces) in [
            (100, 5, false),
            (100, COPIED - 100, false),
            (100, COPIED, true),
        ] {
            let (one, two) = (vec![1; one], vec![2; two]);
            let pieces = [IoSlice::new(&one), IoSlice::new(&two)];
            let n = io.write_vectored(&pieces).await.unwrap();
            assert_eq!(n, one.len() + two.len());
            assert_eq!(io.get_ref().0.last(), Some(&(n, in_pieces)));
        }
    }
}
