//! What an acceptor recovers from.

use super::{Backoff, exhaustion::Exhausted};
use std::time::Duration;
use tokio::time::Instant;

/// After this many clients in a row that were gone before they were accepted, something else is wrong.
pub(super) const CONNECTION_ERRORS_AT_ONCE: u32 = 64;

/// What an acceptor recovers from.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// The errors of connections in a row.
    pub(super) connection_errors: u32,
    pub(super) backoff: Backoff,
    pub(super) exhausted: Option<Exhausted>,
    /// The slots to be opened, or reopened, later; the others go on being served. One that was reopened
    /// stays here until a client came by it, so that a socket that is lost again and again is reopened
    /// with delays.
    pub(super) later: Vec<Later>,
}

#[derive(Debug)]
pub(super) struct Later {
    pub(super) slot: usize,
    /// `None` once it is open.
    pub(super) at: Option<Instant>,
    pub(super) backoff: Backoff,
    /// The number of clients that the server had accepted when it was opened.
    pub(super) accepted: u64,
}

impl Recovery {
    /// A client was accepted, or the queue found empty with everything there to accept one.
    pub(super) fn recovered(&mut self) {
        self.connection_errors = 0;
        self.backoff.reset();
        self.exhausted = None;
    }

    /// Returns when the next slot is to be opened.
    pub(super) fn next(&self) -> Option<Instant> {
        self.later.iter().filter_map(|later| later.at).min()
    }

    /// Returns the slots to be opened now.
    pub(super) fn due(&self, now: Instant) -> Vec<usize> {
        let due = self.later.iter();
        let due = due.filter(|later| later.at.is_some_and(|at| at <= now));
        due.map(|later| later.slot).collect()
    }

    pub(super) fn forget_slots(&mut self) {
        self.later.clear();
    }

    /// Opens the slot after a delay, which doubles each time.
    pub(super) fn later(&mut self, slot: usize) -> Duration {
        let known = self.later.iter().position(|later| later.slot == slot);
        let place = known.unwrap_or_else(|| {
            self.later.push(Later {
                slot,
                at: None,
                backoff: Backoff::default(),
                accepted: 0,
            });
            self.later.len() - 1
        });
        let later = &mut self.later[place];
        let delay = later.backoff.next_delay();
        later.at = Some(Instant::now() + delay);
        delay
    }

    /// The slot is open, or gone for good.
    pub(super) fn done(&mut self, slot: usize) {
        for later in self.later.iter_mut().filter(|later| later.slot == slot) {
            later.at = None;
        }
    }

    /// A client came by this slot.
    pub(super) fn served(&mut self, slot: usize) {
        self.recovered();
        if !self.later.is_empty() {
            self.later.retain(|later| later.slot != slot);
        }
    }

    /// The slot was reopened, when the server had accepted this many clients.
    pub(super) fn reopened(&mut self, slot: usize, accepted: u64) {
        // Counts as a first attempt, should it be lost again before anybody was served.
        self.later(slot);
        for later in self.later.iter_mut().filter(|later| later.slot == slot) {
            later.accepted = accepted;
        }
    }

    /// Returns whether the slot was reopened and no client has come to the server since.
    pub(super) fn is_unproven(&mut self, slot: usize, accepted: u64) -> bool {
        self.later
            .retain(|later| later.slot != slot || later.accepted == accepted);
        self.later.iter().any(|later| later.slot == slot)
    }
}
