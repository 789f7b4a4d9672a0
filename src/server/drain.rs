//! Draining a server.

use super::{
    end::End,
    listening::SWEEP_PATIENCE,
    notices::Notices,
    supervise::{Supervisor, until},
    survivors::Survivors,
};
use crate::{
    connection::{DrainReport, event},
    pool::{Drain, Pool, Stage},
    service::{ConnectionService, Spawn},
};
use std::time::Duration;
use tokio::time::{sleep_until, timeout};

/// How long aborted connections may take to end. A future that is dropped at its next poll takes no
/// time. What remains after this has a blocked thread, or is held outside its handler by code that
/// does not use it.
const ABORT_GRACE: Duration = Duration::from_secs(1);

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
                () = self.close_listeners() => {}
                () = deadline_passed(pool) => {}
            }
        }
        self.stop_listening().await;
        tokio::select! {
            biased;
            () = pool.registry.until_idle() => {}
            () = deadline_passed(pool) => {}
        }
    }

    /// Closes all listeners, each as if it were the only one.
    async fn close_listeners(&mut self) {
        self.refuse_all();
        while let Some(at) = self.closing_at() {
            tokio::select! {
                () = self.report() => {}
                () = sleep_until(at) => {}
            }
            self.finish_closing();
        }
    }

    /// Ends the acceptors and closes the sockets, whether or not the acceptors answer. A blocked
    /// acceptor closes its handle later.
    async fn stop_listening(&mut self) {
        self.close_all_now();
        let ended = async { while self.acceptor_ended().await {} };
        if timeout(SWEEP_PATIENCE, ended).await.is_err() {
            self.abort_acceptors();
        }
        for group in self.pool().groups() {
            self.observe_stop(&group);
        }
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
