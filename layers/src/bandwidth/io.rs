//! The stream that reads and writes no faster than its limits allow.

use super::{
    BandwidthLimits, READ_RATE, WRITE_RATE, grant::Grant, quota::Spent, shared::Shared,
    throttle::Throttle,
};
use crate::io::{Direction, vectored};
use reagent::ConnectionHandle;
use std::{
    fmt,
    io::{self, IoSlice},
    mem,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The name of the layer in reports of dry runs.
const LAYER: &str = "bandwidth";

/// The stream that a [`BandwidthLayer`](super::BandwidthLayer) passes to the inner service. It
/// reads and writes no faster than the limits allow.
///
/// # Cancel safety
///
/// Reads and writes are cancel safe: if one is dropped, no byte is lost and the connection keeps
/// its turn.
pub struct BandwidthIo<Io> {
    io: Io,
    limits: Arc<Shared>,
    client: Option<IpAddr>,
    /// A byte read before the wait for a turn. Without it, connections with nothing to read would
    /// queue with those that have something, and an end or an error would be seen late.
    peeked: Option<u8>,
    throttle: Option<Box<Throttle>>,
    spent: Option<Arc<Spent>>,
    handle: ConnectionHandle,
    /// Whether a dry run has spared the connection a wait, in each direction.
    is_spared: [bool; 2],
}

impl<Io> BandwidthIo<Io> {
    pub(super) fn new(
        io: Io,
        limits: &BandwidthLimits,
        handle: ConnectionHandle,
        ip: Option<IpAddr>,
        spent: Option<Arc<Spent>>,
    ) -> Self {
        BandwidthIo {
            io,
            limits: limits.shared.clone(),
            client: ip.map(|ip| limits.client(ip)),
            peeked: None,
            throttle: None,
            spent,
            handle,
            is_spared: [false; 2],
        }
    }

    /// Returns the inner stream.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }

    fn is_free(&self, direction: Direction) -> bool {
        self.throttle.is_none()
            && self.spent.is_none()
            && self.peeked.is_none()
            && !self.limits.is_limited(direction)
    }

    /// Returns the part of `want` that the quota allows.
    fn left(&self, direction: Direction, want: usize) -> u64 {
        let left = self
            .spent
            .as_ref()
            .map_or(u64::MAX, |spent| spent.left(direction));
        left.min(want as u64)
    }

    /// Ends the connection because of its quota, unless a dry run spares it.
    fn exceed(&mut self, direction: Direction) -> io::Result<()> {
        let Some(spent) = &self.spent else {
            return Ok(());
        };
        let reason = spent.reason(direction);
        if !self.limits.dry_run().spares(&self.handle, LAYER, reason) {
            return Err(spent.exceed(direction));
        }
        self.spent = None;
        Ok(())
    }

    /// Waits for a turn, unless a dry run spares the connection the wait.
    fn poll_turn(&mut self, cx: &mut Context<'_>, direction: Direction, want: u64) -> Poll<Grant> {
        if !self.limits.dry_run().is_on() {
            return self.throttle().poll_turn(cx, direction, want);
        }
        self.throttle().leave(direction);
        if !mem::replace(&mut self.is_spared[direction as usize], true) {
            let reason = [READ_RATE, WRITE_RATE][direction as usize];
            self.handle.report_spared(LAYER, reason);
        }
        Poll::Ready(Grant::unlimited(want))
    }

    /// Takes what may be read or written at once; `None` if the connection has to wait.
    fn take(&mut self, direction: Direction, want: u64) -> Option<Grant> {
        if self
            .throttle
            .as_ref()
            .is_some_and(|throttle| throttle.is_over())
        {
            self.throttle = None;
        }
        if self.throttle.is_none() && !self.limits.is_limited(direction) {
            return Some(Grant::unlimited(want));
        }
        let throttle = self.throttle();
        match throttle.is_waiting(direction) {
            true => None,
            false => throttle.take(direction, want),
        }
    }

    fn throttle(&mut self) -> &mut Throttle {
        self.throttle
            .get_or_insert_with(|| Box::new(Throttle::new(self.limits.clone(), self.client)))
    }

    /// Counts the bytes that were used, and keeps or gives back the rest of the grant.
    fn settle(&mut self, direction: Direction, grant: Grant, used: usize) {
        if let Some(throttle) = &mut self.throttle {
            throttle.settle(direction, grant, used as u64);
        }
        if let Some(spent) = &self.spent {
            spent.add(direction, used as u64);
        }
    }
}

impl<Io: AsyncRead + Unpin> BandwidthIo<Io> {
    /// Waits for a byte or the end of the stream. Returns whether there is a byte.
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.peeked.is_none() {
            let mut byte = [0];
            let mut buf = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            self.peeked = buf.filled().first().copied();
        }
        Poll::Ready(Ok(self.peeked.is_some()))
    }

    fn poll_read_at_most(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        most: u64,
    ) -> Poll<io::Result<()>> {
        let Some(peeked) = self.peeked else {
            return Pin::new(&mut (&mut self.io).take(most)).poll_read(cx, buf);
        };
        let before = buf.filled().len();
        buf.put_slice(&[peeked]);
        let rest = Pin::new(&mut (&mut self.io).take(most - 1)).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = rest {
            buf.set_filled(before);
            return Poll::Ready(Err(error));
        }
        self.peeked = None;
        Poll::Ready(Ok(()))
    }

    fn poll_read_limited(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let want = self.left(Direction::Read, buf.remaining());
        if want == 0 {
            // The end of the stream is not above the quota.
            if !ready!(self.poll_peek(cx))? {
                return Poll::Ready(Ok(()));
            }
            self.exceed(Direction::Read)?;
            return self.poll_read_limited(cx, buf);
        }
        let grant = match self.take(Direction::Read, want) {
            Some(grant) => grant,
            None if !ready!(self.poll_peek(cx))? => return Poll::Ready(Ok(())),
            None => ready!(self.poll_turn(cx, Direction::Read, want)),
        };
        let before = buf.filled().len();
        let polled = self.poll_read_at_most(cx, buf, want.min(grant.bytes));
        self.settle(Direction::Read, grant, buf.filled().len() - before);
        polled
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for BandwidthIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_free(Direction::Read) || buf.remaining() == 0 {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        self.poll_read_limited(cx, buf)
    }
}

impl<Io: AsyncWrite + Unpin> BandwidthIo<Io> {
    fn poll_write_limited(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        write: impl FnOnce(Pin<&mut Io>, &mut Context<'_>, usize) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let want = self.left(Direction::Write, len);
        if want == 0 {
            self.exceed(Direction::Write)?;
            return self.poll_write_limited(cx, len, write);
        }
        let grant = match self.take(Direction::Write, want) {
            Some(grant) => grant,
            None => ready!(self.poll_turn(cx, Direction::Write, want)),
        };
        let most = want.min(grant.bytes) as usize;
        let polled = write(Pin::new(&mut self.io), cx, most);
        let used = match &polled {
            Poll::Ready(Ok(written)) => *written,
            _ => 0,
        };
        self.settle(Direction::Write, grant, used);
        polled
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for BandwidthIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_free(Direction::Write) || buf.is_empty() {
            return Pin::new(&mut self.io).poll_write(cx, buf);
        }
        self.poll_write_limited(cx, buf.len(), |io, cx, most| {
            io.poll_write(cx, &buf[..most])
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = vectored::len(bufs);
        if self.is_free(Direction::Write) || len == 0 {
            return Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        }
        self.poll_write_limited(cx, len, |io, cx, most| {
            vectored::poll_write(io, cx, bufs, most)
        })
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

impl<Io: fmt::Debug> fmt::Debug for BandwidthIo<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BandwidthIo")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}
