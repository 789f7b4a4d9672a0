//! A counter of permits that needs no lock.

use crate::sync::{
    OnceLock,
    atomic::{
        AtomicIsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    thread_index,
};
use std::{iter, num::NonZero, thread};

/// A sum that threads add to. It is a single number until two threads collide. From then on each
/// thread has its own number, which may become negative, since a permit may be dropped by another
/// thread than the one that took it. Most limits, such as a layer's limit for each client, never
/// need more than the single number.
pub(super) struct Counts {
    one: AtomicIsize,
    /// Set once, under the lock of the limit.
    own: OnceLock<Box<[Padded]>>,
}

/// Alone in its cache line. Current processors fetch two lines of 64 bytes at once.
#[repr(align(128))]
struct Padded(AtomicIsize);

impl Counts {
    pub(super) fn new() -> Self {
        Counts {
            one: AtomicIsize::new(0),
            own: OnceLock::new(),
        }
    }

    /// Adds `n`. Returns `false` if another thread interfered, in which case [`split`](Self::split)
    /// must be called first.
    pub(super) fn try_add(&self, n: isize) -> bool {
        if let Some(own) = self.own.get() {
            own[thread_index() & (own.len() - 1)].0.fetch_add(n, AcqRel);
            return true;
        }
        let now = self.one.load(Relaxed);
        self.one
            .compare_exchange(now, now.wrapping_add(n), AcqRel, Relaxed)
            .is_ok()
    }

    /// Gives each thread its own number. The lock of the limit must be held, so that a later `fold`
    /// sees them.
    pub(super) fn split(&self) {
        self.own.get_or_init(|| {
            iter::repeat_with(|| Padded(AtomicIsize::new(0)))
                .take(parallelism())
                .collect()
        });
    }

    /// Returns the sum. While other threads add to it, it is a snapshot.
    pub(super) fn sum(&self) -> isize {
        self.numbers().map(|number| number.load(Acquire)).sum()
    }

    /// Takes the sum out, which leaves zero.
    pub(super) fn fold(&self) -> isize {
        self.numbers().map(|number| number.swap(0, AcqRel)).sum()
    }

    fn numbers(&self) -> impl Iterator<Item = &AtomicIsize> {
        let own = self.own.get().into_iter().flatten();
        iter::once(&self.one).chain(own.map(|Padded(number)| number))
    }
}

/// Returns the number of threads that can run at once, bounded and rounded up to a power of two.
fn parallelism() -> usize {
    if cfg!(loom) {
        return 2;
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    threads.next_power_of_two().min(128)
}
