//! A count of the holders that keep something open.

use super::atomic::{AtomicU32, Ordering};

/// Set permanently when the last holder has left.
const ENDED: u32 = 1 << 31;

/// Counts the holders of something. When the last of them leaves, it has ended: no holder can enter
/// any more, so it ends only once.
#[derive(Debug)]
pub(crate) struct OpenCount(AtomicU32);

impl OpenCount {
    /// Creates a count with one holder.
    pub(crate) fn of_one() -> Self {
        OpenCount(AtomicU32::new(1))
    }

    /// Adds a holder. Returns false if it has ended: the caller then holds nothing, and its
    /// [`leave`](Self::leave) has no effect.
    pub(crate) fn enter(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < ENDED - 1).then_some(count + 1)
            })
            .is_ok()
    }

    /// Removes a holder. Returns true exactly once, to the last holder, which sees everything that
    /// the others did before they left.
    pub(crate) fn leave(&self) -> bool {
        let left = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |count| match count {
                // Everything that counted has left, so this holder entered too late.
                0 | ENDED => None,
                1 => Some(ENDED),
                _ => Some(count - 1),
            });
        debug_assert!(left != Err(0), "left more often than entered");
        left == Ok(1)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_ends_once_and_nobody_enters_afterwards() {
        let count = OpenCount::of_one();
        assert!(count.enter());
        assert!(!count.leave());
        assert!(count.enter());
        assert!(!count.leave());
        assert!(count.leave());
        assert!(!count.enter());
        assert!(!count.leave());
    }
}
