//! The two sides of a relay, as a direction reads from one and writes to the other.

use super::{Resettable, pipe::Pipe};
use reagent::{Connection, IoStream};
use std::{
    io,
    task::{Context, Poll},
};

/// A side of a relay.
pub(super) trait Side: IoStream {
    /// Returns whether the kernel can move bytes between this side's socket and a pipe.
    fn is_direct(&self) -> bool;

    /// Fills the empty pipe, and returns the number of bytes. Bytes that the stream had in memory
    /// follow them, and are appended to `rest`. If there are neither, this is the end.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        rest: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>>;

    /// Writes what is in the pipe, and returns the number of bytes written.
    fn poll_empty(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>>;
}

/// The client.
impl<Io: IoStream> Side for Connection<Io> {
    fn is_direct(&self) -> bool {
        #[cfg(target_os = "linux")]
        return Connection::is_direct(self);
        #[cfg(not(target_os = "linux"))]
        false
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        rest: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        pipe.poll_fill_from_client(cx, self, rest)
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        pipe.poll_empty_to_client(cx, self)
    }
}

/// The upstream.
impl<U: IoStream + Resettable> Side for U {
    fn is_direct(&self) -> bool {
        self.plain().is_some()
    }

    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        _: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        match self.plain() {
            Some(socket) => pipe.poll_fill(cx, socket),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        match self.plain() {
            Some(socket) => pipe.poll_empty(cx, socket),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }
}
