//! How many permits of a limit are taken or reserved, and the queues for them.

use super::queue::Queue;

/// The permits of a limit that may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// Those that are not reserved.
    General,
    /// Those that are reserved for the child that asks.
    Reserved,
}

/// The permits of a limit that are counted under its lock, and those who wait for them.
pub(super) struct Permits {
    /// The permits that are not in `counts`: all of them while there is a maximum. Negative if
    /// permits were counted in `counts` when they were taken, and here when they were returned.
    pub(super) taken: isize,
    /// The number of permits that are reserved for children, used or not.
    pub(super) reserved: usize,
    /// How many of them there are already: permits that were in use when they were reserved are
    /// added when they come back.
    pub(super) backed: usize,
    /// The permits among `taken` that were reserved.
    reserved_taken: usize,
    queue: Queue,
    /// The queue of those who wait for reserved permits that are not there yet.
    reserved_queue: Queue,
}

impl Permits {
    pub(super) const fn new() -> Self {
        Permits {
            taken: 0,
            reserved: 0,
            backed: 0,
            reserved_taken: 0,
            queue: Queue::new(),
            reserved_queue: Queue::new(),
        }
    }

    /// Returns whether a permit may be taken, apart from the order of the queue.
    pub(super) fn has_room(&self, max: usize, share: Share) -> bool {
        match share {
            Share::General => self.in_use_or_kept(self.reserved) < max,
            Share::Reserved => self.reserved_taken < self.backed,
        }
    }

    /// Returns how many permits are taken, or kept for the children if this many are reserved.
    fn in_use_or_kept(&self, reserved: usize) -> usize {
        let taken = usize::try_from(self.taken).unwrap_or(0);
        taken.saturating_add(reserved.saturating_sub(self.reserved_taken))
    }

    /// Reserves permits that are free, as far as some that should be reserved were not.
    pub(super) fn back(&mut self, max: usize) {
        let free = max.saturating_sub(self.in_use_or_kept(self.backed));
        self.backed += free.min(self.reserved - self.backed);
    }

    /// Returns whether nobody waits, and all is reserved that should be.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting() == 0 && self.backed == self.reserved
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.reserved_queue.len()
    }

    pub(super) fn queue(&mut self, share: Share) -> &mut Queue {
        match share {
            Share::General => &mut self.queue,
            Share::Reserved => &mut self.reserved_queue,
        }
    }

    pub(super) fn add(&mut self, share: Share) {
        self.taken += 1;
        self.reserved_taken += usize::from(share == Share::Reserved);
    }

    pub(super) fn subtract(&mut self, share: Share) {
        self.taken -= 1;
        self.reserved_taken -= usize::from(share == Share::Reserved);
    }
}
