//! Serving the clients that are in the queues before they are closed.

use super::{supervise::Supervisor, worker::accepting};
use crate::{
    pool::{Key, distribute},
    service::{ConnectionService, Spawn},
};
use std::mem;

impl<S: ConnectionService, X: Spawn> Supervisor<S, X> {
    /// Has the slots of a group swept by their owners.
    pub(super) fn sweep_group(&mut self, number: u32) {
        let Some(listening) = self.listening.get(&number) else {
            return;
        };
        let live = listening.group.live();
        let owners = accepting(&self.workers, number);
        if owners.is_empty() {
            self.orphans.push((number, live));
            return;
        }
        let owned = distribute(&live, &owners);
        for (index, slots) in owners.into_iter().zip(owned) {
            let key = Key {
                group: number,
                index,
            };
            if let Some(worker) = self.workers.get_mut(&key) {
                worker.sweep(slots);
            }
        }
    }

    /// Returns whether no slot of a group is left to be swept.
    pub(super) fn is_swept(&mut self, number: u32) -> bool {
        let has_orphans = self.orphans.iter().any(|(group, _)| *group == number);
        !has_orphans && !self.workers_of(number).any(|(_, worker)| worker.sweeps)
    }

    /// Gives slots whose owner failed while sweeping them to an acceptor that has a service.
    pub(super) fn reassign_orphans(&mut self) {
        for (group, slots) in mem::take(&mut self.orphans) {
            self.sweep_by_another(group, slots);
        }
    }

    /// Gives the slots of acceptors that do not answer to others, if there are any.
    pub(super) fn reassign_unswept(&mut self, number: u32) {
        let silent = self.workers_of(number).filter(|(_, worker)| worker.sweeps);
        let silent: Vec<_> = silent
            .map(|(key, worker)| (*key, worker.slots.clone()))
            .collect();
        for (key, slots) in &silent {
            let is_silent = |other: &Key| silent.iter().any(|(key, _)| key == other);
            let helper = self
                .workers_of(number)
                .find(|(other, worker)| worker.accepts && !is_silent(other));
            let Some((_, helper)) = helper else {
                return;
            };
            helper.sweep_also(slots.clone());
            if let Some(worker) = self.workers.get_mut(key) {
                worker.sweeps = false;
            }
        }
    }

    fn sweep_by_another(&mut self, number: u32, mut slots: Vec<usize>) {
        let Some(listening) = self.listening.get(&number) else {
            return;
        };
        let group = listening.group.clone();
        slots.retain(|slot| group.has_client(*slot));
        if slots.is_empty() {
            return;
        }
        let helper = self.workers_of(number).find(|(_, worker)| worker.accepts);
        if let Some((_, worker)) = helper {
            worker.sweep_also(slots);
        } else {
            // No acceptor can serve them now; the first one that gets a service will.
            self.orphans.push((number, slots));
        }
    }
}
