//! A stream at the bottom of a stack that records the operations on it.

use reagent::{Accepted, Addr, Listener, Transport};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Write(usize),
    /// The number of slices and the number of bytes.
    Vectored(usize, usize),
    Flush,
    Shutdown,
}

/// The operations in order. Each occurs twice, because the first attempt is pending.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    /// Returns the operations since the last call.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Wraps another listener, and adds probes to its streams.
pub struct Probed {
    pub listener: Box<dyn Listener>,
    pub calls: Calls,
    pub vectored: bool,
}

impl Listener for Probed {
    fn local_addr(&self) -> Addr {
        self.listener.local_addr()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.listener.poll_ready(cx)
    }

    fn try_accept(&mut self) -> io::Result<Accepted> {
        let Accepted {
            transport: io,
            peer,
            ..
        } = self.listener.try_accept()?;
        let probe = Probe {
            io,
            calls: self.calls.clone(),
            vectored: self.vectored,
            waits: true,
        };
        Ok(Accepted::new(Transport::other(probe), peer))
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(Probed {
            listener: self.listener.try_clone()?,
            calls: self.calls.clone(),
            vectored: self.vectored,
        }))
    }
}

struct Probe {
    io: Transport,
    calls: Calls,
    vectored: bool,
    /// Makes the next operation pending.
    waits: bool,
}

impl Probe {
    fn asked<T>(
        &mut self,
        call: Call,
        cx: &mut Context<'_>,
        answer: impl FnOnce(Pin<&mut Transport>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.calls.0.lock().unwrap().push(call);
        let waits = self.waits;
        self.waits = !waits;
        if waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        answer(Pin::new(&mut self.io), cx)
    }
}

impl AsyncRead for Probe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Probe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked(Call::Write(buf.len()), cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.asked(Call::Vectored(bufs.len(), len), cx, |io, cx| {
            io.poll_write_vectored(cx, bufs)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.asked(Call::Flush, cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.asked(Call::Shutdown, cx, AsyncWrite::poll_shutdown)
    }
}
