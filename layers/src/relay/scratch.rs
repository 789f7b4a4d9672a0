//! The buffer that the relays of a thread share: each has it while it runs, and keeps it only with bytes
//! in it that it cannot write.

use std::cell::Cell;

/// How much is read at once. Measured from 8 to 256 KiB: a byte costs least from here on.
const SIZE: usize = 64 * 1024;

pub(super) type Buffer = Box<[u8]>;

/// The buffer, while nobody holds it.
pub(super) type Scratch = Option<Buffer>;

thread_local! {
    static SCRATCH: Cell<Scratch> = const { Cell::new(None) };
}

pub(super) fn take() -> Scratch {
    SCRATCH.take()
}

pub(super) fn give_back(scratch: Scratch) {
    SCRATCH.set(scratch);
}

pub(super) fn new_buffer() -> Buffer {
    vec![0; SIZE].into()
}

/// Puts a buffer back that is empty; one for little is of no use to others.
pub(super) fn put(scratch: &mut Scratch, buffer: Option<Buffer>) {
    if scratch.is_none() {
        *scratch = buffer.filter(|buffer| buffer.len() == SIZE);
    }
}
