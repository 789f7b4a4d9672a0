//! The holders that keep one thing open, and its end.

use super::atomic::{AtomicU32, Ordering};

/// Set for good when the last has left.
const ENDED: u32 = 1 << 31;

/// Counts the holders of one thing. When the last of them leaves, it has ended: nobody enters any
/// more, so it ends once.
#[derive(Debug)]
pub(crate) struct OpenCount(AtomicU32);

impl OpenCount {
    /// Makes the count of a thing with its first holder.
    pub(crate) fn of_one() -> Self {
        OpenCount(AtomicU32::new(1))
    }

    /// Adds a holder; `false` where it has ended, and then it holds nothing and its
    /// [`leave`](Self::leave) does nothing.
    pub(crate) fn enter(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < ENDED - 1).then_some(count + 1)
            })
            .is_ok()
    }

    /// Takes a holder off; `true` exactly once: for the last, who sees whatever the others did before
    /// they left.
    pub(crate) fn leave(&self) -> bool {
        let left = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |count| match count {
                // Whoever counted has left, so this one came too late to count.
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
