//! Transfers between the socket of a connection and other files.

use super::{Connection, entry::flag};
use crate::direct::{self, Transfer};
use crate::io::IoStream;
use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Transfers that the kernel does, so that the bytes do not pass through the program's memory.
/// Layers count and limit them like other reads and writes.
impl<Io: IoStream> Connection<Io> {
    /// Returns whether the kernel can move bytes between the connection's socket and another file:
    /// the stream is a TCP or Unix socket, and everything that wraps it was added by
    /// [`map_io_passthrough`](Self::map_io_passthrough).
    pub fn is_direct(&self) -> bool {
        let entry = &self.as_ref().entry;
        !entry.has(flag::OPAQUE | flag::SECURE) && entry.socket.ask(|_| ()).is_some()
    }

    /// Moves up to `most` bytes from the socket into a pipe (`splice(2)`), and returns their
    /// number. Bytes that a layer has in memory follow them, and are appended to `rest`. If there
    /// are neither, this is the end of the stream.
    ///
    /// The pipe must be empty, and `most` at least 1.
    ///
    /// # Errors
    ///
    /// Returns the error of `splice(2)`, or one of the layers. The connection must be
    /// [direct](Self::is_direct).
    pub fn poll_splice_read(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &Arc<OwnedFd>,
        most: usize,
        rest: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(self.io_mut());
        let transfer = Transfer::ToPipe(pipe.clone());
        direct::poll_read(transfer, most, rest, |buf| io.poll_read(cx, buf))
    }

    /// Moves up to `most` bytes from a pipe into the socket (`splice(2)`), and returns their
    /// number.
    ///
    /// The pipe must not be empty, and `most` at least 1. Bytes that layers hold back are passed on
    /// by a flush, as usual.
    ///
    /// # Errors
    ///
    /// Returns the error of `splice(2)`, or one of the layers. The connection must be
    /// [direct](Self::is_direct).
    pub fn poll_splice_write(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &Arc<OwnedFd>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(self.io_mut());
        let transfer = Transfer::FromPipe(pipe.clone());
        direct::poll_write(transfer, most, |bytes| io.poll_write(cx, bytes))
    }

    /// Moves up to `most` bytes of a file, from `offset` on, into the socket (`sendfile(2)`), and
    /// returns their number. 0 is the end of the file. The position of the file does not change.
    ///
    /// Pages that are not in memory are read from the disk meanwhile, which blocks the thread.
    ///
    /// # Errors
    ///
    /// Returns the error of `sendfile(2)`, or one of the layers. The connection must be
    /// [direct](Self::is_direct).
    pub fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &Arc<File>,
        offset: u64,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(self.io_mut());
        let transfer = Transfer::FromFile(file.clone(), offset);
        direct::poll_write(transfer, most, |bytes| io.poll_write(cx, bytes))
    }
}
