//! The upstreams of a set, as they are under its lock.

use super::{
    description::Upstream,
    key::Key,
    member::Member,
    pick::{Candidate, Picker},
    queue::Queue,
    settings::Settings,
    stats::StateChange,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    task::Waker,
};
use tokio::time::Instant;

/// A place at an upstream, in which a connection is made.
#[derive(Debug)]
pub(super) struct Taken<T> {
    pub(super) number: u64,
    pub(super) name: Arc<str>,
    pub(super) target: Arc<T>,
}

/// There is no upstream that has not been tried.
#[derive(Debug)]
pub(super) struct NoUpstream;

/// What a client gets that asks for an upstream.
#[derive(Debug)]
pub(super) enum Admission<T> {
    Taken(Taken<T>),
    /// It waits, under this number.
    Waits(u64),
    QueueFull,
    NoUpstream,
}

/// What has to be done after the lock is released.
#[derive(Debug)]
pub(super) struct After<T> {
    pub(super) wakers: Vec<Waker>,
    pub(super) changes: Vec<StateChange>,
    /// Upstreams that are gone, with the targets of the program.
    pub(super) gone: Vec<Member<T>>,
}

#[derive(Debug)]
pub(super) struct Set<T> {
    pub(super) settings: Settings,
    /// In the order of their numbers.
    pub(super) members: Vec<Member<T>>,
    next_number: u64,
    picker: Picker,
    pub(super) queue: Queue<T>,
    /// Kept so that choosing allocates nothing.
    candidates: Vec<Candidate>,
    /// The changes of states that have not been reported yet.
    changes: Vec<StateChange>,
}

impl<T> Set<T> {
    pub(super) fn new(settings: Settings, random: fastrand::Rng) -> Self {
        Set {
            settings,
            members: Vec::new(),
            next_number: 0,
            picker: Picker::new(random),
            queue: Queue::default(),
            candidates: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Replaces the upstreams, and returns what is to be dropped. Those whose names stay keep their
    /// state.
    pub(super) fn replace(&mut self, upstreams: Vec<Upstream<T>>, now: Instant) -> Vec<Arc<T>> {
        let is_late = self.members.iter().any(|member| !member.is_removed);
        let mut old = Vec::new();
        let mut indices = HashMap::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            member.is_removed = true;
            indices.insert(member.upstream.name.clone(), index);
        }
        for upstream in upstreams {
            match indices.entry(upstream.name.clone()) {
                Entry::Occupied(known) => {
                    let member = &mut self.members[*known.get()];
                    member.is_removed = false;
                    old.push(std::mem::replace(&mut member.upstream, upstream).target);
                }
                Entry::Vacant(unknown) => {
                    unknown.insert(self.members.len());
                    let number = self.next_number;
                    self.next_number += 1;
                    self.members
                        .push(Member::new(number, upstream, is_late, now));
                }
            }
        }
        old
    }

    /// Finds the upstream with this name, unless it was removed.
    pub(super) fn named(&mut self, name: &str) -> Option<&mut Member<T>> {
        let mut members = self.members.iter_mut();
        members.find(|member| !member.is_removed && &*member.upstream.name == name)
    }

    pub(super) fn member(&mut self, number: u64) -> Option<&mut Member<T>> {
        find(&mut self.members, number)
    }

    /// Takes a place at an upstream that is not in `tried`, or in the queue.
    pub(super) fn admit(&mut self, key: Key, tried: &[u64], now: Instant) -> Admission<T> {
        match self.take(key, tried, now) {
            Some(Ok(taken)) => Admission::Taken(taken),
            Some(Err(NoUpstream)) => Admission::NoUpstream,
            None if self.queue.len() >= self.settings.queue => Admission::QueueFull,
            None => Admission::Waits(self.queue.push(key, tried)),
        }
    }

    /// Takes a place at an upstream that is not in `tried`. Returns `None` if those that can be
    /// used have no room.
    ///
    /// If none is available, all are used: those that are down or ejected may serve after all.
    fn take(
        &mut self,
        key: Key,
        tried: &[u64],
        now: Instant,
    ) -> Option<Result<Taken<T>, NoUpstream>> {
        let can_be_used =
            |member: &&Member<T>| member.is_in_use() && !tried.contains(&member.number);
        let usable = self.members.iter().filter(can_be_used);
        let Some(best) = usable.map(Member::hope).max() else {
            return Some(Err(NoUpstream));
        };
        let slow_start = self.settings.slow_start;
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        for (index, member) in self.members.iter().enumerate() {
            if can_be_used(&member) && member.hope() == best && member.has_room() {
                let weight = member.weight(slow_start, now);
                candidates.push(Candidate { index, weight });
            }
        }
        // Those of weight 0 serve if no other can.
        match candidates.iter().any(|candidate| candidate.weight > 0.0) {
            true => candidates.retain(|candidate| candidate.weight > 0.0),
            false => candidates
                .iter_mut()
                .for_each(|candidate| candidate.weight = 1.0),
        }
        let picked = (!candidates.is_empty()).then(|| {
            let balance = self.settings.balance;
            self.picker.pick(balance, key, &candidates, &self.members)
        });
        self.candidates = candidates;
        let member = &mut self.members[picked?];
        member.connecting += 1;
        Some(Ok(Taken {
            number: member.number,
            name: member.upstream.name.clone(),
            target: member.upstream.target.clone(),
        }))
    }

    /// Ends the ejections whose time is over.
    pub(super) fn refresh(&mut self, now: Instant) {
        self.members
            .iter_mut()
            .for_each(|member| member.health.refresh(now));
    }

    /// Returns when the next ejection ends.
    pub(super) fn next_return(&self) -> Option<Instant> {
        let members = self.members.iter();
        members
            .filter_map(|member| member.health.ejected_until())
            .min()
    }

    /// Gives places to those that wait, in their order, and collects what has changed.
    pub(super) fn settle(&mut self, now: Instant) -> After<T> {
        let mut wakers = Vec::new();
        let mut queue = std::mem::take(&mut self.queue);
        for waiter in queue.unanswered() {
            if let Some(answer) = self.take(waiter.key, &waiter.tried, now) {
                waiter.answer = Some(answer);
                wakers.extend(waiter.waker.take());
            }
        }
        self.queue = queue;
        self.update_states(now);
        let is_gone = |member: &Member<T>| member.is_removed && member.used() == 0;
        let mut gone = Vec::new();
        if self.members.iter().any(is_gone) {
            let members = std::mem::take(&mut self.members);
            (gone, self.members) = members.into_iter().partition(is_gone);
        }
        After {
            wakers,
            changes: std::mem::take(&mut self.changes),
            gone,
        }
    }

    /// Notes the upstreams whose state has changed.
    pub(super) fn update_states(&mut self, now: Instant) {
        for member in &mut self.members {
            let (from, to) = (member.state, member.state(self.settings.slow_start, now));
            if from != to {
                (member.state, member.since) = (to, now);
                self.changes.push(StateChange {
                    name: member.upstream.name.clone(),
                    from,
                    to,
                    last_error: member.last_error.clone(),
                });
            }
        }
    }

    /// Returns the targets of the upstreams that are in the set.
    pub(super) fn targets(&self) -> HashMap<u64, Arc<T>> {
        let present = self.members.iter().filter(|member| !member.is_removed);
        let targets = present.map(|member| (member.number, member.upstream.target.clone()));
        targets.collect()
    }
}

pub(super) fn find<T>(members: &mut [Member<T>], number: u64) -> Option<&mut Member<T>> {
    let found = members.binary_search_by_key(&number, |member| member.number);
    found.ok().map(|index| &mut members[index])
}
