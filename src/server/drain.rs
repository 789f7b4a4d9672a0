//! Draining a server.

use super::{
    end::End,
    notices::Notices,
    supervise::{Supervisor, Worker, until},
    survivors::Survivors,
};
use crate::{
    connection::{DrainReport, event},
    listener::Group,
    pool::{Assignment, Drain, Key, Mode, Pool, Stage, distribute},
    service::{ConnectionService, Spawn},
};
use std::{mem, time::Duration};
use tokio::time::timeout;

/// How long aborted connections may take to end. A future that is dropped at its next poll takes no
/// time. What remains after this has a blocked thread, or is held outside its handler by code that
/// does not use it.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// How long an acceptor may take to sweep its slots before another one gets them: its thread may be
/// blocked.
const SWEEP_PATIENCE: Duration = Duration::from_millis(50);

/// How long the whole sweep may take.
const SWEEP_GRACE: Duration = Duration::from_secs(1);

impl<S: ConnectionService, X: Spawn> Supervisor<S, X> {
    /// Notifies every connection, serves the clients in the queues, closes the sockets, and waits
    /// for the connections. Those that are left at the deadline are aborted. The queues are served
    /// at the start, even if notifying everybody takes some time.
    pub(super) async fn drain(mut self, end: End) {
        let pool = self.pool().clone();
        let (sweep, over, lame_duck) = match &pool.control.borrow().stage {
            Stage::Draining(drain) => (drain.sweep, drain.over, drain.lame_duck),
            _ => (false, pool.registry.totals().over(), Duration::ZERO),
        };
        let open = pool.registry.open();
        pool.registry
            .observe(|observer| observer.drain_started(&event::DrainStarted { open }));
        let mut notices = Notices::begin(&pool);

        tokio::select! {
            biased;
            () = self.end_connections(&pool, sweep) => {}
            never = notices.send(&pool) => match never {},
        }
        let survivors = Survivors::abort_all(&pool.registry, &notices);
        let _ = timeout(ABORT_GRACE, pool.registry.until_idle()).await;
        let totals = pool.registry.totals();
        // Includes connections that ended before they could be notified, such as the last ones from
        // the queue.
        let total = usize::try_from(totals.accepted - over).unwrap_or(usize::MAX);
        let mut report = DrainReport {
            remaining: totals.open(),
            elapsed: notices.elapsed(),
            lame_duck,
            notified: notices.count,
            last_notified_at: notices.last_at(),
            ..DrainReport::default()
        };
        survivors.report(&mut report);
        report.finished = total.saturating_sub(report.aborted);
        pool.registry
            .observe(|observer| observer.drain_ended(&report));
        end.stop(report);
    }

    /// Serves the clients in the queues, closes the sockets, and waits until no connection is open
    /// or the deadline has passed.
    async fn end_connections(&mut self, pool: &Pool, sweep: bool) {
        if sweep {
            tokio::select! {
                biased;
                () = self.sweep() => {}
                () = deadline_passed(pool) => {}
            }
        }
        self.stop_listening(pool).await;
        tokio::select! {
            biased;
            () = pool.registry.until_idle() => {}
            () = deadline_passed(pool) => {}
        }
    }

    /// Has every slot swept: first by its owner, and then by another acceptor if the owner fails or
    /// does not answer.
    async fn sweep(&mut self) {
        for number in 0..self.pool().groups.len() {
            let group = &self.setup.pool.groups[number];
            let live = group.live();
            let mut owners: Vec<_> = self.accepting(number).collect();
            let owned = distribute(&live, &owners);
            for (index, slots) in owners.drain(..).zip(owned) {
                let key = Key {
                    group: number,
                    index,
                };
                if let Some(worker) = self.workers.get_mut(&key) {
                    worker.sweep(slots);
                }
            }
            if self.accepting(number).next().is_none() {
                self.orphans.push((number, live));
            }
        }
        if timeout(SWEEP_PATIENCE, self.until_swept()).await.is_err() {
            self.reassign_unswept();
            let _ = timeout(SWEEP_GRACE, self.until_swept()).await;
        }
    }

    async fn until_swept(&mut self) {
        self.reassign_orphans();
        while !self.orphans.is_empty() || self.workers.values().any(|worker| worker.sweeps) {
            self.report().await;
            self.reassign_orphans();
        }
    }

    /// Gives slots whose owner failed while sweeping them to an acceptor that has a service.
    fn reassign_orphans(&mut self) {
        for (group, slots) in mem::take(&mut self.orphans) {
            self.sweep_by_another(group, slots);
        }
    }

    /// Gives the slots of acceptors that do not answer to others, if there are any.
    fn reassign_unswept(&mut self) {
        let silent: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.sweeps)
            .map(|(key, worker)| (*key, worker.slots.clone()))
            .collect();
        let are_silent: Vec<_> = silent.iter().map(|(key, _)| *key).collect();
        for (key, slots) in silent {
            let helper = self.workers.iter_mut().find(|(other, worker)| {
                other.group == key.group && worker.accepts && !are_silent.contains(other)
            });
            if let Some((_, helper)) = helper {
                helper.sweep_also(slots);
                if let Some(worker) = self.workers.get_mut(&key) {
                    worker.sweeps = false;
                }
            }
        }
    }

    fn sweep_by_another(&mut self, group: usize, mut slots: Vec<usize>) {
        let queues = &self.setup.pool.groups[group];
        slots.retain(|slot| queues.has_client(*slot));
        if slots.is_empty() {
            return;
        }
        let mut workers = self.workers.iter_mut();
        let helper = workers.find(|(key, worker)| key.group == group && worker.accepts);
        match helper {
            Some((_, worker)) => worker.sweep_also(slots),
            // No acceptor can serve them now; the first one that gets a service will.
            None => self.orphans.push((group, slots)),
        }
    }

    /// Ends the acceptors and closes the sockets.
    async fn stop_listening(&mut self, pool: &Pool) {
        for worker in self.workers.values_mut() {
            worker.assign(Mode::Stop, Vec::new(), u64::MAX);
        }
        // The sockets are closed whether or not the acceptors answer. A blocked acceptor closes its
        // handle later.
        pool.groups.iter().for_each(Group::close);
        let ended = async { while self.acceptor_ended().await {} };
        if timeout(SWEEP_PATIENCE, ended).await.is_err() {
            self.abort_acceptors();
        }
        for group in &pool.groups {
            let event = event::Listening { addr: group.addr() };
            pool.registry
                .observe(|observer| observer.listener_stopped(&event));
        }
    }
}

impl Worker {
    fn sweep(&mut self, slots: Vec<usize>) {
        self.sweeps = !slots.is_empty();
        self.slots.clone_from(&slots);
        self.cell.order(Assignment {
            mode: Mode::Sweep,
            slots,
            version: u64::MAX,
        });
    }

    fn sweep_also(&mut self, mut slots: Vec<usize>) {
        if self.sweeps {
            slots.extend(&self.slots);
        }
        self.sweep(slots);
    }
}

/// Waits for the deadline of the drain, which may be brought forward meanwhile.
async fn deadline_passed(pool: &Pool) {
    let mut control = pool.control.subscribe();
    loop {
        let deadline = match &control.borrow_and_update().stage {
            Stage::Draining(Drain { deadline, .. }) => *deadline,
            _ => None,
        };
        tokio::select! {
            biased;
            () = until(deadline) => return,
            _ = control.changed() => {}
        }
    }
}
