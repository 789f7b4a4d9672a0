//! Keeps as many acceptors as were ordered, and brings the server to its end.

use super::{DrainReport, Shared, per_core::Cores};
use crate::{
    BoxError, ConnectionHandle, ConnectionService, Error, Spawn,
    acceptor::{AcceptLoop, Backoff, Maker},
    listener::Group,
    pool::Stage,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// How long what was aborted may take to go. A future that is dropped at its next poll takes no time;
/// past this, somebody outside holds the connection and does not use it.
const ABORT_GRACE: Duration = Duration::from_secs(1);

pub(super) struct Supervisor<S, X> {
    pub(super) shared: Arc<Shared>,
    pub(super) make: Maker<S>,
    pub(super) release: fn(&mut S),
    pub(super) spawn: X,
    pub(super) cores: Cores,
    acceptors: JoinSet<(usize, usize)>,
    /// Address and number of each acceptor that runs.
    running: HashSet<(usize, usize)>,
}

impl<S: ConnectionService, X: Spawn> Supervisor<S, X> {
    pub(super) fn new(
        shared: Arc<Shared>,
        make: Maker<S>,
        release: fn(&mut S),
        spawn: X,
        cores: Cores,
    ) -> Self {
        let (acceptors, running) = (JoinSet::new(), HashSet::new());
        Supervisor {
            shared,
            make,
            release,
            spawn,
            cores,
            acceptors,
            running,
        }
    }

    /// Starts the first acceptors; all of them get their services, or none stays.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        let acceptors = self.shared.control.borrow().acceptors();
        for group in &self.shared.groups {
            group
                .grow(acceptors)
                .map_err(|error| Error::bind(&group.addr().to_string(), error))?;
        }
        let mut made = Vec::new();
        for group in 0..self.shared.groups.len() {
            for index in 0..acceptors {
                let (tell, told) = oneshot::channel();
                self.spawn_acceptor(group, index, Some(tell));
                made.push(told);
            }
        }
        for told in made {
            let gone = || "the runtime is shutting down".into();
            let result = told
                .await
                .unwrap_or_else(|_| Err(gone()))
                .map_err(Error::Make);
            if result.is_err() {
                self.acceptors.shutdown().await;
                return result;
            }
        }
        for group in &self.shared.groups {
            self.shared
                .observe(|observer| observer.listener_started(group.addr()));
        }
        Ok(())
    }

    pub(super) async fn run(mut self) {
        // Whatever ends this task, nobody is to wait for ever.
        let end = End(self.shared.clone());
        let mut control = self.shared.control.subscribe();
        let mut backoff = Backoff::default();
        loop {
            let (acceptors, life) = {
                let control = control.borrow_and_update();
                (control.acceptors(), control.stage.clone())
            };
            if !matches!(life, Stage::Running) {
                break;
            }
            let retry_in = self.converge(acceptors, &mut backoff);
            let retry = async {
                match retry_in {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = control.changed() => {}
                Some(ended) = self.acceptors.join_next() => {
                    if let Ok(ended) = ended {
                        self.running.remove(&ended);
                    }
                }
                () = retry => {}
            }
        }
        self.drain(&end).await;
    }

    /// Starts the acceptors that are missing; those that are too many leave by themselves. Where a
    /// socket of their own cannot be had, says when to try again; they share one until then.
    fn converge(&mut self, acceptors: usize, backoff: &mut Backoff) -> Option<Duration> {
        let mut retry_in = None;
        for group in 0..self.shared.groups.len() {
            let shared = self.shared.clone();
            match shared.groups[group].grow(acceptors) {
                Ok(true) => shared.control.send_modify(|_| {}),
                Ok(false) => {}
                Err(_) => retry_in = Some(backoff.next_delay()),
            }
            for index in 0..acceptors {
                if !self.running.contains(&(group, index)) {
                    self.spawn_acceptor(group, index, None);
                }
            }
        }
        if retry_in.is_none() {
            backoff.reset();
        }
        retry_in
    }

    fn spawn_acceptor(
        &mut self,
        group: usize,
        index: usize,
        made: Option<oneshot::Sender<Result<(), BoxError>>>,
    ) {
        let run = AcceptLoop::new(
            self.shared.clone(),
            group,
            index,
            self.make.clone(),
            self.release,
            self.spawn.clone(),
        );
        let acceptor = async move {
            run.run(made).await;
            (group, index)
        };
        self.running.insert((group, index));
        match self.cores.of(index) {
            Some(core) => self.acceptors.spawn_on(acceptor, core),
            None => self.acceptors.spawn(acceptor),
        };
    }

    async fn drain(&mut self, end: &End) {
        let shared = self.shared.clone();
        let started = Instant::now();
        let over = match &shared.control.borrow().stage {
            Stage::Draining { over, .. } => *over,
            _ => shared.counters.over(),
        };
        // They look at their control in every wait; only a service that is being made may not.
        let all = async { while self.acceptors.join_next().await.is_some() {} };
        if timeout(ABORT_GRACE, all).await.is_err() {
            self.acceptors.shutdown().await;
        }
        shared.groups.iter().for_each(Group::close);
        for group in &shared.groups {
            shared.observe(|observer| observer.listener_stopped(group.addr()));
        }
        let open = shared.registry.all();
        shared.observe(|observer| observer.drain_started(open.len()));
        open.iter().for_each(ConnectionHandle::drain);
        drop(open);

        until_idle_or_deadline(&shared).await;
        let left = shared.registry.all();
        left.iter().for_each(ConnectionHandle::abort);
        let _ = timeout(ABORT_GRACE, shared.until_idle()).await;
        let aborted = left.len();
        // Also those that were over before they could be told, such as the last from the queue.
        let total = shared.counters.accepted().saturating_sub(over) as usize;
        let report = DrainReport {
            finished: total.saturating_sub(aborted),
            aborted,
            remaining: shared.counters.open(),
            elapsed: started.elapsed(),
        };
        shared.observe(|observer| observer.drain_ended(&report));
        end.stop(report);
    }
}

async fn until_idle_or_deadline(shared: &Shared) {
    let mut control = shared.control.subscribe();
    loop {
        let deadline = match &control.borrow_and_update().stage {
            Stage::Draining { deadline, .. } => *deadline,
            _ => None,
        };
        let deadline = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.until_idle() => return,
            () = deadline => return,
            _ = control.changed() => {}
        }
    }
}

/// Says that the server has stopped; when it goes unsaid, the runtime was shut down over it.
struct End(Arc<Shared>);

impl End {
    fn stop(&self, report: DrainReport) {
        self.0.control.send_if_modified(|control| {
            let result = match &mut control.stage {
                Stage::Running => Ok(report),
                Stage::Draining { error, .. } => error.take().map_or(Ok(report), Err),
                Stage::Stopped(_) => return false,
            };
            control.stage = Stage::Stopped(result);
            true
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.stop(DrainReport {
            remaining: self.0.counters.open(),
            ..DrainReport::default()
        });
    }
}
