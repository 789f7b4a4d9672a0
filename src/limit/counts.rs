//! Permits that are counted without a lock.

use crate::sync::{
    OnceLock,
    atomic::{
        AtomicIsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    thread_index,
};
use std::{iter, num::NonZero, thread};

/// A sum that threads add to. It is one number until two of them collide; from then on each thread has
/// a number of its own, which may become negative: a permit may be dropped by another thread than took
/// it. Most limits, such as one for each client of a layer, never need more than the one.
pub(super) struct Counts {
    one: AtomicIsize,
    /// Set once, under the lock of the limit.
    own: OnceLock<Box<[Padded]>>,
}

/// Alone in its cache line; processors of today fetch two of 64 bytes at once.
#[repr(align(128))]
struct Padded(AtomicIsize);

impl Counts {
    pub(super) fn new() -> Self {
        Counts {
            one: AtomicIsize::new(0),
            own: OnceLock::new(),
        }
    }

    /// Adds `n`; `false` where another thread came between, and [`split`](Self::split) is to be called
    /// first.
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

    /// Gives each thread a number of its own. The lock of the limit is held, so that whoever folds later
    /// sees them.
    pub(super) fn split(&self) {
        self.own.get_or_init(|| {
            iter::repeat_with(|| Padded(AtomicIsize::new(0)))
                .take(parallelism())
                .collect()
        });
    }

    /// The sum, as far as it can be told while others add to it.
    pub(super) fn sum(&self) -> isize {
        self.numbers().map(|number| number.load(Acquire)).sum()
    }

    /// Takes the sum out.
    pub(super) fn fold(&self) -> isize {
        self.numbers().map(|number| number.swap(0, AcqRel)).sum()
    }

    fn numbers(&self) -> impl Iterator<Item = &AtomicIsize> {
        let own = self.own.get().into_iter().flatten();
        iter::once(&self.one).chain(own.map(|Padded(number)| number))
    }
}

/// As many as threads can run at once, within reason; a power of two.
fn parallelism() -> usize {
    if cfg!(loom) {
        return 2;
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    threads.next_power_of_two().min(128)
}
