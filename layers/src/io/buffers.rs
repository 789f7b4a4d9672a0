//! Buffers shared by the connections of a thread. A connection takes one while it runs and keeps it
//! only if bytes are left in it, so an idle connection holds none.

use bytes::BytesMut;
use std::cell::Cell;

/// The size of a new buffer, and so of a read. Measured with 8 to 256 KiB: the cost per byte no
/// longer falls beyond this.
pub(crate) const CHUNK: usize = 64 * 1024;

/// The least room that is worth a read.
const LEAST_ROOM: usize = 16 * 1024;

thread_local! {
    static READ: Cell<BytesMut> = Cell::new(BytesMut::new());
    #[cfg(feature = "framed")]
    static WRITE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Takes an empty buffer to read into.
pub(crate) fn take_read() -> BytesMut {
    // A thread that is ending has no buffers any more.
    let mut buf = READ.try_with(Cell::take).unwrap_or_default();
    make_room(&mut buf);
    buf
}

/// Takes an empty buffer to write from.
#[cfg(feature = "framed")]
pub(crate) fn take_write() -> BytesMut {
    WRITE.try_with(Cell::take).unwrap_or_default()
}

/// Gives back a buffer that was read into. A buffer that grew is freed.
pub(crate) fn give_read(mut buf: BytesMut) {
    buf.clear();
    if buf.capacity() <= 2 * CHUNK {
        let _ = READ.try_with(|scratch| scratch.set(buf));
    }
}

/// Gives back a buffer that was written from. A buffer that grew is freed.
#[cfg(feature = "framed")]
pub(crate) fn give_write(mut buf: BytesMut) {
    buf.clear();
    if buf.capacity() <= 2 * CHUNK {
        let _ = WRITE.try_with(|scratch| scratch.set(buf));
    }
}

/// Makes room for a read. Reuses the space of consumed bytes, unless some of them are still
/// referenced.
pub(crate) fn make_room(buf: &mut BytesMut) {
    if buf.capacity() - buf.len() < LEAST_ROOM {
        buf.reserve(CHUNK);
    }
}
