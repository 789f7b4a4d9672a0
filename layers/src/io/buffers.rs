//! Buffers that the connections of a thread share: each has them while it runs, and keeps one only with
//! bytes in it, so an idle connection holds none.

use bytes::BytesMut;
use std::cell::Cell;

/// The size of a new buffer, and so of a read. Measured from 8 to 256 KiB: a byte costs least from here on.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A buffer with less room than this is not worth a read.
const LEAST_ROOM: usize = 16 * 1024;

thread_local! {
    static READ: Cell<BytesMut> = Cell::new(BytesMut::new());
    #[cfg(feature = "framed")]
    static WRITE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// An empty buffer to read into.
pub(crate) fn take_read() -> BytesMut {
    // The thread may be ending, and have no buffers any more.
    let mut buf = READ.try_with(Cell::take).unwrap_or_default();
    make_room(&mut buf);
    buf
}

/// An empty buffer to write from.
#[cfg(feature = "framed")]
pub(crate) fn take_write() -> BytesMut {
    WRITE.try_with(Cell::take).unwrap_or_default()
}

/// Returns a buffer that was read into. One that grew is freed.
pub(crate) fn give_read(mut buf: BytesMut) {
    buf.clear();
    if buf.capacity() <= 2 * CHUNK {
        let _ = READ.try_with(|scratch| scratch.set(buf));
    }
}

/// Returns a buffer that was written from. One that grew is freed.
#[cfg(feature = "framed")]
pub(crate) fn give_write(mut buf: BytesMut) {
    buf.clear();
    if buf.capacity() <= 2 * CHUNK {
        let _ = WRITE.try_with(|scratch| scratch.set(buf));
    }
}

/// Makes room for a read. The room of bytes that were consumed is used again, unless somebody still
/// holds some of them.
pub(crate) fn make_room(buf: &mut BytesMut) {
    if buf.capacity() - buf.len() < LEAST_ROOM {
        buf.reserve(CHUNK);
    }
}
