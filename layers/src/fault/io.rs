//! The stream that has faults.

use super::plan::{Most, Plan};
use crate::io::{Direction, vectored};
use reagent::ConnectionHandle;
use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The stream that a [`FaultLayer`](super::FaultLayer) passes to the inner service: the one it
/// wraps, with the faults of the connection.
pub struct FaultIo<Io> {
    /// `None` after a reset.
    io: Option<Io>,
    plan: Option<Box<Plan>>,
    handle: ConnectionHandle,
}

fn reset_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "connection reset by an injected fault",
    )
}

impl<Io> FaultIo<Io> {
    pub(super) fn new(io: Io, plan: Option<Plan>, handle: ConnectionHandle) -> Self {
        FaultIo {
            io: Some(io),
            plan: plan.map(Box::new),
            handle,
        }
    }

    fn io(&mut self) -> io::Result<&mut Io> {
        self.io.as_mut().ok_or_else(reset_error)
    }

    fn reset(&mut self) {
        self.handle.reset_on_close();
        self.io = None;
        self.plan = None;
    }

    /// Returns whether writes vanish now.
    fn is_black_hole(&mut self) -> bool {
        self.plan
            .as_mut()
            .is_some_and(|plan| matches!(plan.most(Direction::Write), Most::Nothing))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for FaultIo<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let io = this.io.as_mut().ok_or_else(reset_error)?;
        let Some(plan) = this.plan.as_mut().filter(|_| buf.remaining() > 0) else {
            return Pin::new(io).poll_read(cx, buf);
        };
        let most = match plan.most(Direction::Read) {
            Most::Bytes(most) => most,
            // No waker is registered, since nothing will come.
            Most::Nothing => return Poll::Pending,
            Most::Reset => {
                this.reset();
                return Poll::Ready(Err(reset_error()));
            }
        };
        let lane = &mut plan.lanes[Direction::Read as usize];
        let before = buf.filled().len();
        if lane.is_late() {
            lane.take_in(io, cx);
            ready!(lane.poll_free(cx));
            match lane.delayed.arrives() {
                Some(at) => ready!(lane.poll_until(cx, at)),
                None => return Poll::Pending,
            }
            lane.delayed.hand_out(buf, most)?;
        } else {
            ready!(lane.poll_free(cx));
            ready!(Pin::new(&mut io.take(most as u64)).poll_read(cx, buf))?;
        }
        if plan.passed(Direction::Read, buf.filled().len() - before) {
            this.reset();
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> FaultIo<Io> {
    fn poll_write_some(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        write: impl FnOnce(Pin<&mut Io>, &mut Context<'_>, usize) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let io = self.io.as_mut().ok_or_else(reset_error)?;
        let Some(plan) = self.plan.as_mut().filter(|_| len > 0) else {
            return write(Pin::new(io), cx, len);
        };
        let most = match plan.most(Direction::Write) {
            Most::Bytes(most) => most.min(len),
            Most::Nothing => return plan.vanish(len).map(Ok),
            Most::Reset => {
                self.reset();
                return Poll::Ready(Err(reset_error()));
            }
        };
        ready!(plan.lanes[Direction::Write as usize].poll_taken(cx));
        let written = ready!(write(Pin::new(io), cx, most))?;
        plan.lanes[Direction::Write as usize].written();
        if plan.passed(Direction::Write, written) {
            self.reset();
        }
        Poll::Ready(Ok(written))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for FaultIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_some(cx, buf.len(), |io, cx, most| {
            io.poll_write(cx, &buf[..most])
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = vectored::len(bufs);
        self.poll_write_some(cx, len, |io, cx, most| {
            if most < len {
                return vectored::poll_write(io, cx, bufs, most);
            }
            io.poll_write_vectored(cx, bufs)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(Io::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_black_hole() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(self.io()?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_black_hole() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(self.io()?).poll_shutdown(cx)
    }
}

impl<Io: fmt::Debug> fmt::Debug for FaultIo<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultIo")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}
