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
    /// The instance's own share of the rate while the store cannot be reached. Tokens that the
    /// store has granted are taken from it, too: a client that has used up its rate gets no second
    /// burst when the store is lost.
    share: Option<Bucket>,
    /// The number of tokens of the share that were used and that the store has not heard of. It is
    /// at most twice the burst of the share: the tokens of a long outage have come back since.
    owed: u32,
}

impl Tokens {
    /// Takes a granted token, if there is one.
    pub(super) fn take(&mut self, share: Rate) -> bool {
        // The clock is read only if the answer depends on it.
        if self.granted == 0 {
            return false;
        }
        let now = Instant::now();
        let is_granted = self.until.is_some_and(|until| now < until);
        if is_granted {
            self.granted -= 1;
            self.charge(share, now, 1);
        }
        is_granted
    }

    /// Takes from the share as many tokens as it has, up to `count`.
    fn charge(&mut self, share: Rate, now: Instant, count: u32) {
        let bucket = self.share.get_or_insert_with(|| Bucket::full(share, now));
        bucket.take_some(share, now, 1.0, count.into());
    }

    pub(super) fn is_refused(&self, now: Instant) -> bool {
        self.refused_until.is_some_and(|until| now < until)
    }

    /// Returns whether there is nothing to remember.
    pub(super) fn is_over(&self, share: Rate, now: Instant) -> bool {
        !self.is_busy
            && !self.is_queued
            && (self.granted == 0 || self.until.is_none_or(|until| until <= now))
            && (self.owed == 0 || self.share.is_none_or(|bucket| bucket.is_full(share, now)))
    }

    /// Adds a waiter. Returns whether a claim has to be queued for it.
    pub(super) fn wait(&mut self, waiter: Waiter) -> bool {
        self.waiters.push_back(waiter);
        self.queue()
    }

    fn queue(&mut self) -> bool {
        !self.waiters.is_empty() && !self.is_busy && !mem::replace(&mut self.is_queued, true)
    }

    /// Begins a claim, and returns the number of tokens that are owed or needed by waiters.
    pub(super) fn claim(&mut self) -> usize {
        self.is_busy = true;
        self.is_queued = false;
        self.waiters.len() + self.owed as usize
    }

    /// Ends a claim. Returns the waiters that are decided, and whether another claim has to be
    /// queued.
    pub(super) fn settle(
        &mut self,
        granted: u32,
        is_all: bool,
        share: Rate,
        until: Instant,
        now: Instant,
    ) -> (Vec<(Waiter, bool)>, bool) {
        self.is_busy = false;
        let paid = self.owed.min(granted);
        self.owed -= paid;
        self.granted = granted - paid;
        self.until = Some(until);
        let admitted = self.waiters.len().min(self.granted as usize);
        let used = u32::try_from(admitted).unwrap_or(self.granted);
        self.granted -= used;
        self.charge(share, now, used);
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
        let is_admitted = bucket.take(share, now).is_ok();
        if is_admitted {
            self.owed = self
                .owed
                .saturating_add(1)
                .min((2.0 * share.burst()).ceil() as u32);
        }
        is_admitted
    }
}
