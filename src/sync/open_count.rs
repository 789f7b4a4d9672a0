//! A count that ends once.

use std::sync::atomic::{AtomicU8, Ordering};

const ENDED: u8 = 0x80;

/// Counts the parts that keep something open. Once the last has left, nothing enters any more.
#[derive(Debug)]
pub(crate) struct OpenCount(AtomicU8);

impl OpenCount {
    pub(crate) fn new() -> Self {
        OpenCount(AtomicU8::new(0))
    }

    /// Enters, unless it has ended. At most 127 may be inside.
    pub(crate) fn enter(&self) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count & ENDED == 0).then_some(count + 1)
            })
            .is_ok()
    }

    /// Leaves, and returns true to the one that ended it.
    pub(crate) fn leave(&self) -> bool {
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                Some(if count == 1 { ENDED } else { count - 1 })
            });
        before == Ok(1)
    }
}
