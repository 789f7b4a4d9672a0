//! One client: its connections, and the places that the store has granted for them.

use super::Place;
use crate::cluster::{Mode, share};
use std::{collections::VecDeque, mem, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// How long a client that the store has refused is refused without asking it again.
const REFUSED: Duration = Duration::from_millis(20);

/// Receives a place, or `None` if all are taken. It is dropped if the store cannot be asked.
pub(super) type Waiter = oneshot::Sender<Option<Place>>;

/// Answers for waiters, to be sent once the lock is released.
pub(super) type Answers = Vec<(Waiter, Option<Place>)>;

#[derive(Debug)]
pub(super) struct Client {
    /// The number of its connections.
    used: u32,
    /// The highest number since the last renewal.
    peak: u32,
    /// The number of places that the store counts for this instance, until the lease ends.
    granted: u32,
    until: Instant,
    waiters: VecDeque<Waiter>,
    /// The number of waiters for whom the claim under way asks.
    asked: usize,
    /// Whether a claim is under way.
    is_busy: bool,
    /// Whether a claim is queued.
    pub(super) is_queued: bool,
    refused_until: Option<Instant>,
    /// Until when the store may count places that this instance does not know of, since an answer
    /// was lost.
    unsure_until: Option<Instant>,
    /// When it was last asked to be renewed.
    pub(super) renew_at: Instant,
}

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Admit,
    Renew,
}

/// What the claims of an instance depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) max: u32,
    pub(super) instances: usize,
    /// [`Mode::Exact`] while the instance is leaving.
    pub(super) mode: Mode,
}

impl Client {
    pub(super) fn new(now: Instant, renew_at: Instant) -> Self {
        Client {
            used: 0,
            peak: 0,
            granted: 0,
            until: now,
            waiters: VecDeque::new(),
            asked: 0,
            is_busy: false,
            is_queued: false,
            refused_until: None,
            unsure_until: None,
            renew_at,
        }
    }

    pub(super) fn used(&self) -> u32 {
        self.used
    }

    pub(super) fn enter(&mut self) {
        self.used += 1;
        self.peak = self.peak.max(self.used);
    }

    pub(super) fn leave(&mut self) {
        self.used -= 1;
    }

    /// Returns whether a granted place is free.
    pub(super) fn has_room(&self, max: u32) -> bool {
        // The clock is read only if the answer depends on it.
        self.used < self.granted.min(max) && Instant::now() < self.until
    }

    /// Returns whether there is no place for another connection, whatever the store says.
    pub(super) fn is_refused(&mut self, max: u32, now: Instant) -> bool {
        // Those who have waited for too long, and were decided without the store.
        while self.waiters.front().is_some_and(Waiter::is_closed) {
            self.waiters.pop_front();
            self.asked = self.asked.saturating_sub(1);
        }
        self.used as usize + self.waiters.len() >= max as usize
            || self.refused_until.is_some_and(|until| now < until)
    }

    /// Returns whether there is nothing to remember.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.used == 0
            && (self.granted == 0 || self.until <= now)
            && self.waiters.is_empty()
            && !self.is_busy
            && !self.is_queued
            && self.unsure_until.is_none_or(|until| until <= now)
    }

    /// Returns whether a claim is queued or under way.
    pub(super) fn has_claim(&self) -> bool {
        self.is_busy || self.is_queued
    }

    /// Adds a waiter. Returns whether a claim has to be queued for it.
    pub(super) fn wait(&mut self, waiter: Waiter) -> bool {
        self.waiters.push_back(waiter);
        !self.is_busy && !mem::replace(&mut self.is_queued, true)
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Returns the waiters, who decide without the store once they are dropped.
    pub(super) fn give_up(&mut self) -> VecDeque<Waiter> {
        mem::take(&mut self.waiters)
    }

    /// Returns whether a claim has to be queued, because the store counts other places than it
    /// should.
    pub(super) fn needs_claim(&mut self, mode: Mode) -> bool {
        let is_wrong = match mode {
            Mode::Exact => self.granted != self.used,
            Mode::Quota => self.granted < self.used,
        };
        (is_wrong || !self.waiters.is_empty())
            && !self.is_busy
            && !mem::replace(&mut self.is_queued, true)
    }

    /// Removes the waiters that no longer wait.
    fn forget_gone(&mut self) {
        let (mut index, mut gone) = (0, 0);
        let asked = self.asked;
        self.waiters.retain(|waiter| {
            let is_gone = waiter.is_closed();
            gone += usize::from(is_gone && index < asked);
            index += 1;
            !is_gone
        });
        self.asked -= gone;
    }

    /// Begins a claim, and returns the places to hold and those in use.
    pub(super) fn claim(&mut self, purpose: Purpose, rules: Rules) -> (u32, u32) {
        self.forget_gone();
        self.is_busy = true;
        self.is_queued = false;
        self.asked = self.waiters.len();
        let needed = self.used + u32::try_from(self.asked).unwrap_or(u32::MAX);
        let share = share(rules.max, rules.instances);
        let want = match (rules.mode, purpose) {
            (Mode::Exact, _) => needed,
            (Mode::Quota, Purpose::Admit) => needed + share / 2,
            // What was in use since the last renewal will be again, but others need some as well.
            (Mode::Quota, Purpose::Renew) => needed.max(self.peak.min(share)),
        };
        if purpose == Purpose::Renew {
            self.peak = self.used;
        }
        let want = want.min(rules.max).max(self.used);
        // Others may have what is given back as soon as this is sent.
        self.granted = self.granted.min(want);
        (want, self.used)
    }

    /// Ends a claim that was granted, and serves as many waiters as there is room for.
    pub(super) fn settle(
        &mut self,
        granted: u32,
        until: Instant,
        now: Instant,
        max: u32,
        mut place: impl FnMut() -> Place,
    ) -> Answers {
        self.is_busy = false;
        self.unsure_until = None;
        self.granted = granted;
        self.until = until;
        self.forget_gone();
        let mut answers = Answers::new();
        let mut asked = mem::take(&mut self.asked);
        while self.has_room(max) {
            let Some(waiter) = self.waiters.pop_front() else {
                break;
            };
            asked = asked.saturating_sub(1);
            self.enter();
            answers.push((waiter, Some(place())));
        }
        if asked > 0 && !self.waiters.is_empty() {
            // Later waiters would be refused as well.
            self.refused_until = Some(now + REFUSED);
            answers.extend(self.waiters.drain(..).map(|waiter| (waiter, None)));
        }
        answers
    }

    /// Ends a claim whose result is unknown. What was granted before is so still.
    pub(super) fn fail(&mut self, unsure_until: Instant) {
        self.is_busy = false;
        self.unsure_until = Some(unsure_until);
        self.asked = 0;
    }
}

/// Sends answers. A place that nobody waits for any more is given back.
pub(super) fn send(answers: Answers) {
    for (waiter, place) in answers {
        drop(waiter.send(place));
    }
}
