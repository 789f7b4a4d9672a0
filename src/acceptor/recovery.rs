//! The failures that an acceptor recovers from.

use super::{Backoff, exhaustion::Exhausted};
use std::time::Duration;
use tokio::time::Instant;

/// After this many consecutive clients that were gone before they were accepted, the cause is
/// something else.
pub(super) const CONNECTION_ERRORS_AT_ONCE: u32 = 64;

/// The failures that an acceptor recovers from.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// The number of consecutive errors of connections.
    pub(super) connection_errors: u32,
    pub(super) backoff: Backoff,
    pub(super) exhausted: Option<Exhausted>,
    /// The slots to open or reopen later; the other slots are served meanwhile. A slot that was
    /// reopened stays here until a client has arrived through it, so that a socket that is lost
    /// repeatedly is reopened with delays.
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
    /// Resets the failures, after a client was accepted, or the queue was found empty with
    /// everything ready to accept one.
    pub(super) fn recovered(&mut self) {
        self.connection_errors = 0;
        self.backoff.reset();
        self.exhausted = None;
    }

    /// Returns the time at which the next slot is to be opened.
    pub(super) fn next(&self) -> Option<Instant> {
        self.later.iter().filter_map(|later| later.at).min()
    }

    /// Returns the slots to open now.
    pub(super) fn due(&self, now: Instant) -> Vec<usize> {
        let due = self.later.iter();
        let due = due.filter(|later| later.at.is_some_and(|at| at <= now));
        due.map(|later| later.slot).collect()
    }

    pub(super) fn forget_slots(&mut self) {
        self.later.clear();
    }

    /// Schedules the slot to be opened after a delay, which doubles each time.
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

    /// Records that the slot is open, or lost for good.
    pub(super) fn done(&mut self, slot: usize) {
        for later in self.later.iter_mut().filter(|later| later.slot == slot) {
            later.at = None;
        }
    }

    /// Records that a client has arrived through this slot.
    pub(super) fn served(&mut self, slot: usize) {
        self.recovered();
        if !self.later.is_empty() {
            self.later.retain(|later| later.slot != slot);
        }
    }

    /// Records that the slot was reopened, and how many clients the server had accepted by then.
    pub(super) fn reopened(&mut self, slot: usize, accepted: u64) {
        // Counts as a first attempt, in case it is lost again before it has served a client.
        self.later(slot);
        for later in self.later.iter_mut().filter(|later| later.slot == slot) {
            later.accepted = accepted;
        }
    }

    /// Returns whether the slot was reopened and the server has accepted no client since.
    pub(super) fn is_unproven(&mut self, slot: usize, accepted: u64) -> bool {
        self.later
            .retain(|later| later.slot != slot || later.accepted == accepted);
        self.later.iter().any(|later| later.slot == slot)
    }
}
