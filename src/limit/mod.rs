//! A limit on how many of something there may be at once: exact, first come, first served, and
//! changeable at any time.
//!
//! A server has one for its connections, and layers use it too.
//!
//! ```
//! use reagent::Limit;
//!
//! let limit = Limit::new(1);
//! let permit = limit.try_acquire();
//! assert!(permit.is_some() && limit.try_acquire().is_none());
//! drop(permit);
//! assert!(limit.try_acquire().is_some());
//! ```

mod acquire;
mod counts;
mod permit;
mod queue;
mod state;
#[cfg(all(test, not(loom)))]
mod tests;

pub use acquire::Acquire;
pub use permit::Permit;
pub(crate) use permit::Place;

use crate::sync::Arc;
use state::Shared;
use std::fmt;

/// A semaphore whose size may change, also to less than what is taken. Clones share it.
///
/// While there is a maximum, everything that counts changes under one lock, and a permit that becomes
/// free goes to the first in the queue before anybody else can take it. More than the maximum are
/// taken only where the maximum was lowered, and nobody is overtaken.
///
/// Without a maximum nobody waits, and permits are counted without a lock: once threads compete, each
/// counts for itself. The count is exact all the same, also when a maximum is set later. What remains
/// shared is the reference that every [`Permit`] has to its limit.
#[derive(Clone)]
pub struct Limit(Arc<Shared>);

impl Limit {
    /// Creates a limit of `max` permits; `usize::MAX` stands for [no limit](Self::unlimited).
    pub fn new(max: usize) -> Self {
        Limit(Arc::new(Shared::new(max)))
    }

    /// Creates a limit without a maximum, to count what there is, or to be given a maximum later.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Returns the maximum; `usize::MAX` stands for none.
    pub fn max(&self) -> usize {
        self.0.max()
    }

    /// Returns the number of permits in use. While permits come and go without a maximum, that is a
    /// snapshot that may miss what happens during the call.
    pub fn taken(&self) -> usize {
        self.0.taken()
    }

    /// Returns the number of those who wait for a permit.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// Sets the maximum; `None`, like `usize::MAX`, lifts it.
    ///
    /// If there is room now, those who wait are admitted at once. If more than `max` permits are in use,
    /// nobody is admitted until enough of them have been dropped.
    ///
    /// ```
    /// # let limit = reagent::Limit::new(0);
    /// assert!(limit.try_acquire().is_none());
    /// limit.set_max(10);
    /// assert!(limit.try_acquire().is_some());
    /// limit.set_max(None);
    /// assert_eq!(limit.max(), usize::MAX);
    /// ```
    pub fn set_max(&self, max: impl Into<Option<usize>>) {
        self.0.set_max(max.into().unwrap_or(usize::MAX));
    }

    /// Takes a permit if one is free and nobody waits for it.
    #[must_use = "a permit that is dropped is given back at once"]
    pub fn try_acquire(&self) -> Option<Permit> {
        let taken = self.0.try_take();
        taken.then(|| Permit::new(self.clone(), Place::new()))
    }

    /// Waits for a permit, in the order of the first poll.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future gives up the place in the queue; a permit is never lost.
    pub fn acquire(&self) -> Acquire {
        Acquire::new(self.clone())
    }

    /// Takes a permit with this reference to the limit, which comes back if there is none. Without a
    /// maximum this touches nothing that threads share.
    pub(crate) fn try_acquire_with(self) -> Result<Permit, Limit> {
        match self.0.try_take() {
            true => Ok(Permit::new(self, Place::new())),
            false => Err(self),
        }
    }

    /// Gives back a place of this limit.
    pub(crate) fn give_back(&self, place: Place) {
        let Place { .. } = place;
        self.0.release();
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("max", &self.max())
            .field("taken", &self.taken())
            .field("waiting", &self.waiting())
            .finish()
    }
}
