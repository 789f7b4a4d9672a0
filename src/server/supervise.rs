//! Keeps the requested number of acceptors running, and distributes the slots among them.

use super::{end::End, per_core::Cores};
use crate::{
    BoxError,
    acceptor::{AcceptLoop, Backoff, Setup},
    connection::event,
    error::Error,
    panic::{catch, discard},
    pool::{
        Assignment, AssignmentCell, Control, Key, Mode, News, Pool, Report, Reporter, Stage,
        distribute,
    },
    service::{ConnectionService, Spawn},
};
use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinSet},
    time::{Instant, sleep_until},
};

/// How long the acceptors may take to end after a failed start. They end at their next poll, unless
/// their thread is blocked.
const JOIN_GRACE: Duration = Duration::from_secs(1);

pub(super) struct Supervisor<S, X> {
    pub(super) setup: Setup<S, X>,
    cores: Cores,
    tasks: JoinSet<()>,
    keys: HashMap<Id, Key>,
    pub(super) workers: BTreeMap<Key, Worker>,
    /// Slots whose acceptor failed while it swept them.
    pub(super) orphans: Vec<(usize, Vec<usize>)>,
    reports: mpsc::UnboundedReceiver<Report>,
    reporter: mpsc::UnboundedSender<Report>,
    /// When to retry what failed: opening sockets, or restarting an acceptor whose task died.
    retry_at: Option<Instant>,
    backoff: Backoff,
}

/// The supervisor's record of one acceptor.
pub(super) struct Worker {
    pub(super) cell: Arc<AssignmentCell>,
    /// Whether it has a service, and so may own slots.
    pub(super) accepts: bool,
    pub(super) slots: Vec<usize>,
    /// The version of the control that it follows.
    applied: u64,
    /// Whether it still has to sweep its slots.
    pub(super) sweeps: bool,
}

impl<S: ConnectionService, X: Spawn> Supervisor<S, X> {
    pub(super) fn new(setup: Setup<S, X>, cores: Cores) -> Self {
        let (reporter, reports) = mpsc::unbounded_channel();
        Supervisor {
            setup,
            cores,
            tasks: JoinSet::new(),
            keys: HashMap::new(),
            workers: BTreeMap::new(),
            orphans: Vec::new(),
            reports,
            reporter,
            retry_at: None,
            backoff: Backoff::default(),
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.setup.pool
    }

    /// Starts the first acceptors. None of them owns a slot before all have their services, so no
    /// client is accepted if the start fails.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        let acceptors = self.pool().control.borrow().acceptors();
        for group in &self.setup.pool.groups {
            catch(|| group.grow(acceptors))
                .map_err(|panic| Error::Make(panic.into()))?
                .map_err(|error| Error::bind(&group.addr().to_string(), error))?;
        }
        self.spawn_missing(acceptors);
        if self.retry_at.is_some() {
            return Err(Error::Make("the `Clone` of the service panicked".into()));
        }
        while !self.workers.values().all(|worker| worker.accepts) {
            let failed = tokio::select! {
                Some(report) = self.reports.recv() => self.note(report),
                Some(_) = self.tasks.join_next() => Some("the runtime is shutting down".into()),
            };
            if let Some(error) = failed {
                self.abort_acceptors();
                let ended = async { while self.acceptor_ended().await {} };
                let _ = tokio::time::timeout(JOIN_GRACE, ended).await;
                return Err(Error::Make(error));
            }
        }
        for group in &self.setup.pool.groups {
            let registry = &self.setup.pool.registry;
            let event = event::Listening { addr: group.addr() };
            registry.observe(|observer| observer.listener_started(&event));
        }
        Ok(())
    }

    pub(super) async fn run(mut self, end: End) {
        let mut changes = self.pool().control.subscribe();
        loop {
            let control = changes.borrow_and_update().clone();
            let drains_at = match &control.stage {
                Stage::Running => None,
                Stage::LameDuck(lame_duck) => Some(lame_duck.until),
                Stage::Draining(_) | Stage::Stopped(..) => break,
            };
            self.reconcile(&control);
            tokio::select! {
                () = self.wait(&mut changes) => {}
                () = until(drains_at) => self.pool().end_lame_duck(),
            }
        }
        self.drain(end).await;
    }

    /// Waits until something may have to be done.
    async fn wait(&mut self, changes: &mut watch::Receiver<Control>) {
        tokio::select! {
            _ = changes.changed() => {}
            Some(report) = self.reports.recv() => {
                self.note(report);
                // Reports that arrived together are handled in one round.
                while let Ok(report) = self.reports.try_recv() {
                    self.note(report);
                }
            }
            Some(ended) = self.tasks.join_next_with_id() => {
                let (id, died) = match ended {
                    Ok((id, ())) => (id, false),
                    Err(error) => {
                        let id = error.id();
                        discard(error);
                        (id, true)
                    }
                };
                if let Some(key) = self.keys.remove(&id) {
                    self.workers.remove(&key);
                }
                if died {
                    self.retry_at = Some(Instant::now() + self.backoff.next_delay());
                }
            }
            () = until(self.retry_at) => self.retry_at = None,
        }
    }

    /// Records a report, and returns the error if the acceptor failed.
    pub(super) fn note(&mut self, Report { from, news }: Report) -> Option<BoxError> {
        let worker = self.workers.get_mut(&from)?;
        match news {
            News::Ready => worker.accepts = true,
            News::Failed(error) => {
                worker.accepts = false;
                let slots = mem::take(&mut worker.slots);
                if mem::take(&mut worker.sweeps) {
                    self.orphans.push((from.group, slots));
                }
                return Some(error);
            }
            News::Applied(version) => worker.applied = version,
            News::Swept => worker.sweeps = false,
        }
        None
    }

    /// Starts missing acceptors, stops surplus ones, and distributes the slots among those that
    /// accept.
    fn reconcile(&mut self, control: &Control) {
        let ordered = control.acceptors();
        if self.retry_at.is_none() {
            self.spawn_missing(ordered);
        }
        let mode = match control.is_paused() {
            true => Mode::Pause,
            false => Mode::Accept,
        };
        for number in 0..self.pool().groups.len() {
            let accepting: Vec<usize> = self.accepting(number).collect();
            // A surplus acceptor stays as long as no other can take its slots.
            let mut owners: Vec<usize> = accepting.clone();
            owners.retain(|index| *index < ordered);
            if owners.is_empty() {
                owners.extend(accepting.first());
            }
            let group = &self.setup.pool.groups[number];
            if self.retry_at.is_none() {
                // Both the listener and the hook of its options are user code.
                match catch(|| group.grow(owners.len())) {
                    Ok(Ok(())) => self.backoff.reset(),
                    // Until the retry, acceptors share sockets.
                    Ok(Err(_)) | Err(_) => {
                        self.retry_at = Some(Instant::now() + self.backoff.next_delay());
                    }
                }
            }
            let owned = distribute(&group.live(), &owners);
            let mut owned: BTreeMap<_, _> = owners.into_iter().zip(owned).collect();
            let workers = self.workers.iter_mut();
            for (key, worker) in workers.filter(|(key, _)| key.group == number) {
                let slots = owned.remove(&key.index);
                let mode = match &slots {
                    None if key.index >= ordered => Mode::Stop,
                    _ => mode,
                };
                worker.assign(mode, slots.unwrap_or_default(), control.version);
            }
        }
        self.publish(control.version);
    }

    /// Publishes the version that all acceptors follow. An acceptor that owns no slot accepts no
    /// client, so it need not be waited for.
    fn publish(&self, version: u64) {
        let owners = self.workers.values().filter(|worker| worker.accepts);
        let followed = owners.map(|worker| worker.applied).min();
        let followed = followed.unwrap_or(version);
        self.pool().settled.send_if_modified(|settled| {
            let is_news = *settled < followed;
            *settled = followed.max(*settled);
            is_news
        });
    }

    /// Returns the acceptors of an address that have a service.
    pub(super) fn accepting(&self, group: usize) -> impl Iterator<Item = usize> {
        let workers = self.workers.iter();
        let workers = workers.filter(move |(key, worker)| key.group == group && worker.accepts);
        workers.map(|(key, _)| key.index)
    }

    fn spawn_missing(&mut self, acceptors: usize) {
        for group in 0..self.pool().groups.len() {
            for index in 0..acceptors {
                let key = Key { group, index };
                if !self.workers.contains_key(&key) && !self.spawn(key) {
                    self.retry_at = Some(Instant::now() + self.backoff.next_delay());
                }
            }
        }
    }

    /// Starts an acceptor. Returns false if `Clone`, which is user code, panics.
    fn spawn(&mut self, key: Key) -> bool {
        let Ok(setup) = catch(|| self.setup.clone()) else {
            return false;
        };
        let cell = Arc::new(AssignmentCell::new());
        let to = self.reporter.clone();
        let acceptor = AcceptLoop::new(
            setup,
            Reporter { key, to },
            cell.clone(),
            self.cores.number_of(key.index),
        );
        let task = match self.cores.of(key.index) {
            Some(core) => self.tasks.spawn_on(acceptor.run(), core),
            None => self.tasks.spawn(acceptor.run()),
        };
        self.keys.insert(task.id(), key);
        let worker = Worker {
            cell,
            accepts: false,
            slots: Vec::new(),
            applied: 0,
            sweeps: false,
        };
        self.workers.insert(key, worker);
        true
    }

    pub(super) fn abort_acceptors(&mut self) {
        self.tasks.abort_all();
    }

    /// Waits for the next acceptor to end, and returns false when none is left.
    pub(super) async fn acceptor_ended(&mut self) -> bool {
        let ended = self.tasks.join_next().await;
        let is_one = ended.is_some();
        discard(ended);
        is_one
    }

    pub(super) async fn report(&mut self) {
        if let Some(report) = self.reports.recv().await {
            self.note(report);
        }
    }
}

impl Worker {
    pub(super) fn assign(&mut self, mode: Mode, slots: Vec<usize>, version: u64) {
        self.slots.clone_from(&slots);
        self.cell.set(Assignment {
            mode,
            slots,
            version,
        });
    }
}

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
