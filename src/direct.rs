//! Transfers between a socket and another file that the kernel does, so that the bytes do not pass
//! through the memory of the program.
//!
//! Layers wrap the stream of a connection to count bytes or to limit them, and a transfer has to
//! pass through them as any other read or write does. So it begins as a read or write of a memory
//! that stands for the bytes. The socket recognizes the address of that memory, lets the kernel
//! move the bytes instead, and returns their number.

use rustix::{fs::sendfile, io::retry_on_intr, pipe::SpliceFlags, pipe::splice};
use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
    task::Poll,
};
use tokio::io::ReadBuf;

/// The most bytes that one transfer moves. The memory that stands for them is not written to, so
/// the kernel gives it no pages.
const MOST: usize = 1024 * 1024;

/// A transfer between the socket and the other file.
#[derive(Clone)]
pub(crate) enum Transfer {
    /// From the socket into a pipe.
    ToPipe(Arc<OwnedFd>),
    /// From a pipe into the socket.
    FromPipe(Arc<OwnedFd>),
    /// From a file, at this offset, into the socket.
    FromFile(Arc<File>, u64),
}

impl Transfer {
    fn run(&self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);
        let moved = retry_on_intr(|| match self {
            Transfer::ToPipe(pipe) => splice(socket, None, pipe, None, most, FLAGS),
            Transfer::FromPipe(pipe) => splice(pipe, None, socket, None, most, FLAGS),
            Transfer::FromFile(file, offset) => {
                sendfile(socket, file, Some(&mut offset.clone()), most)
            }
        });
        Ok(moved?)
    }
}

/// The transfer that is done instead of the current read or write.
struct Current {
    transfer: Transfer,
    moved: usize,
}

thread_local! {
    /// The address of the memory that stands for the bytes of a transfer; 0 without a transfer.
    static ADDRESS: Cell<usize> = const { Cell::new(0) };
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    static MEMORY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Ends the transfer, even if a layer panics.
struct Reset;

impl Drop for Reset {
    fn drop(&mut self) {
        ADDRESS.set(0);
        drop(CURRENT.take());
    }
}

/// Returns whether a transfer is to be done instead of this read.
#[inline]
pub(crate) fn replaces_read(buf: &ReadBuf<'_>) -> bool {
    ADDRESS.get() == buf.filled().as_ptr_range().end as usize && buf.remaining() > 0
}

/// Returns whether a transfer is to be done instead of this write.
#[inline]
pub(crate) fn replaces_write(buf: &[u8]) -> bool {
    ADDRESS.get() == buf.as_ptr() as usize && !buf.is_empty()
}

/// Does the current transfer, of up to `most` bytes, and returns the number of bytes moved.
pub(crate) fn run(socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    CURRENT.with_borrow_mut(|current| {
        let current = current.as_mut().ok_or(io::ErrorKind::Unsupported)?;
        current.moved = current.transfer.run(socket, most)?;
        // A wrapper that now reads or writes once more means the bytes in memory.
        ADDRESS.set(0);
        Ok(current.moved)
    })
}

/// Calls `poll` with a memory that stands for up to `most` bytes. Returns its result and the number
/// of bytes moved.
fn begin<T>(transfer: Transfer, most: usize, poll: impl FnOnce(&mut [u8]) -> T) -> (T, usize) {
    // A thread that is ending has lost its memory.
    let mut memory = MEMORY.try_with(Cell::take).unwrap_or_default();
    if memory.is_empty() {
        memory = vec![0; MOST];
    }
    let reset = Reset;
    ADDRESS.set(memory.as_ptr() as usize);
    CURRENT.set(Some(Current { transfer, moved: 0 }));
    let polled = poll(&mut memory[..most.min(MOST)]);
    let moved = moved();
    drop(reset);
    let _ = MEMORY.try_with(|slot| slot.set(memory));
    (polled, moved)
}

/// Returns the number of bytes that the current transfer has moved.
fn moved() -> usize {
    CURRENT.with_borrow(|current| current.as_ref().map_or(0, |current| current.moved))
}

/// Reads by a transfer, and returns the number of bytes moved. Bytes that a wrapper had in memory
/// follow them, and are appended to `rest`.
pub(crate) fn poll_read(
    transfer: Transfer,
    most: usize,
    rest: &mut Vec<u8>,
    poll: impl FnOnce(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
) -> Poll<io::Result<usize>> {
    let (polled, moved) = begin(transfer, most, |memory| {
        let mut buf = ReadBuf::new(memory);
        let polled = poll(&mut buf);
        let filled = buf.filled().len();
        let in_memory = &mut memory[moved().min(filled)..filled];
        if polled.is_ready() && !in_memory.is_empty() {
            rest.extend_from_slice(in_memory);
            // The next transfer may be of another connection.
            in_memory.fill(0);
        }
        polled
    });
    match moved {
        0 => polled.map_ok(|()| 0),
        // They have left the socket, whatever a wrapper makes of it.
        moved => Poll::Ready(Ok(moved)),
    }
}

/// Writes by a transfer, and returns the number of bytes moved.
pub(crate) fn poll_write(
    transfer: Transfer,
    most: usize,
    poll: impl FnOnce(&[u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    match begin(transfer, most, |memory| poll(memory)) {
        (Poll::Ready(Ok(1..)), 0) => Poll::Ready(Err(io::Error::other(
            "a stream that was added by `map_io_passthrough` does not pass its writes through",
        ))),
        (polled, 0) => polled,
        // They have left the other file, whatever a wrapper makes of it.
        (_, moved) => Poll::Ready(Ok(moved)),
    }
}
