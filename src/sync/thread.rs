//! What lock-free code needs of threads.

/// Returns the number of the current thread. It is small, does not change, and is not shared with a
/// thread started later.
#[cfg(not(loom))]
pub(crate) fn thread_index() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static INDEX: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    INDEX.with(|index| *index)
}

#[cfg(loom)]
pub(crate) use loom_index::thread_index;

/// In a model, every run must number its threads in the same way, and numbering must not be a step
/// of the model.
#[cfg(loom)]
mod loom_index {
    use std::cell::Cell;

    loom::thread_local!(static INDEX: Cell<usize> = Cell::new(0));

    pub(crate) fn thread_index() -> usize {
        INDEX.with(Cell::get)
    }

    #[cfg(test)]
    pub(crate) fn set_thread_index(index: usize) {
        INDEX.with(|own| own.set(index));
    }
}

#[cfg(all(loom, test))]
pub(crate) use loom_index::set_thread_index;
