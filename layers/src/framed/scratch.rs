//! Buffers that connections of one thread take turns with, so that an idle one holds none.

use bytes::BytesMut;
use std::cell::Cell;

/// Room for a read, and what a buffer begins with.
pub(super) const CHUNK: usize = 64 * 1024;

/// What has less room than this is no use to read into.
const LEAST_ROOM: usize = 16 * 1024;

thread_local! {
    static READ: Cell<BytesMut> = Cell::new(BytesMut::new());
    static WRITE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// An empty buffer to read into.
pub(super) fn take_read() -> BytesMut {
    // Its thread may be ending.
    let mut buf = READ.try_with(Cell::take).unwrap_or_default();
    make_room(&mut buf);
    buf
}

/// An empty buffer to write from.
pub(super) fn take_write() -> BytesMut {
    WRITE.try_with(Cell::take).unwrap_or_default()
}

/// Gives one back that was read into. One that grew is freed.
pub(super) fn give_read(mut buf: BytesMut) {
    buf.clear();
    if buf.capacity() <= 2 * CHUNK {
        let _ = READ.try_with(|scratch| scratch.set(buf));
    }
}

/// Gives one back that was written from. One that grew is freed.
pub(super) fn give_write(mut buf: BytesMut) {
    buf.clear();
    if buf.capacity() <= 2 * CHUNK {
        let _ = WRITE.try_with(|scratch| scratch.set(buf));
    }
}

/// Sees to it that a read is worth its while. What frames have left behind is used again, unless
/// somebody still holds one of them.
pub(super) fn make_room(buf: &mut BytesMut) {
    if buf.capacity() - buf.len() < LEAST_ROOM {
        buf.reserve(CHUNK);
    }
}
