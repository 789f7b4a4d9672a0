//! The tokens of one client that the store has granted to this instance.

use crate::client::bucket::{Bucket, Rate};
use std::{collections::VecDeque, mem, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// How long a client without tokens is refused without asking the store again.
const REFUSED: Duration = Duration::from_millis(20);

/// Receives whether the connection is admitted. It is dropped if the store cannot be asked.
pub(super) type Waiter = oneshot::Sender<bool>;

#[derive(Debug, Default)]
pub(super) struct Tokens {
    granted: u32,
    /// When the granted tokens are void, since the store has not heard of their use.
    until: Option<Instant>,
    waiters: VecDeque<Waiter>,
    is_busy: bool,
    is_queued: bool,
    refused_until: Option<Instant>,
    /// The instance's own share of the rate while the store cannot be reached.
    share: Option<Bucket>,
}

impl Tokens {
    /// Takes a granted token, if there is one.
    pub(super) fn take(&mut self) -> bool {
        // The clock is read only if the answer depends on it.
        let is_granted = self.granted > 0 && self.until.is_some_and(|until| Instant::now() < until);
        self.granted -= u32::from(is_granted);
        is_granted
    }

    pub(super) fn is_refused(&self, now: Instant) -> bool {
        self.refused_until.is_some_and(|until| now < until)
    }

    /// Returns whether there is nothing to remember.
    pub(super) fn is_over(&self, share: Rate, now: Instant) -> bool {
        !self.is_busy
            && !self.is_queued
            && (self.granted == 0 || self.until.is_none_or(|until| until <= now))
            && self.share.is_none_or(|bucket| bucket.is_full(share, now))
    }

    /// Adds a waiter. Returns whether a claim has to be queued for it.
    pub(super) fn wait(&mut self, waiter: Waiter) -> bool {
        self.waiters.push_back(waiter);
        self.queue()
    }

    fn queue(&mut self) -> bool {
        !self.waiters.is_empty() && !self.is_busy && !mem::replace(&mut self.is_queued, true)
    }

    /// Begins a claim, and returns the number of tokens that waiters need.
    pub(super) fn claim(&mut self) -> usize {
        self.is_busy = true;
        self.is_queued = false;
        self.waiters.len()
    }

    /// Ends a claim. Returns the waiters that are decided, and whether another claim has to be
    /// queued.
    pub(super) fn settle(
        &mut self,
        granted: u32,
        is_all: bool,
        until: Instant,
        now: Instant,
    ) -> (Vec<(Waiter, bool)>, bool) {
        self.is_busy = false;
        self.granted = granted;
        self.until = Some(until);
        let admitted = self.waiters.len().min(granted as usize);
        self.granted -= u32::try_from(admitted).unwrap_or(granted);
        let mut decided: Vec<_> = self
            .waiters
            .drain(..admitted)
            .map(|waiter| (waiter, true))
            .collect();
        if !is_all && !self.waiters.is_empty() {
            // Later waiters would be refused as well.
            self.refused_until = Some(now + REFUSED);
            decided.extend(self.waiters.drain(..).map(|waiter| (waiter, false)));
        }
        let is_queued = self.queue();
        (decided, is_queued)
    }

    /// Ends a claim, or what was queued, without an answer.
    pub(super) fn give_up(&mut self) -> VecDeque<Waiter> {
        self.is_busy = false;
        self.is_queued = false;
        mem::take(&mut self.waiters)
    }

    /// Takes a token of the instance's own share.
    pub(super) fn take_share(&mut self, share: Rate, now: Instant) -> bool {
        let bucket = self.share.get_or_insert_with(|| Bucket::full(share, now));
        bucket.take(share, now).is_ok()
    }
}
