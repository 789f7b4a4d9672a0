//! Keeps the requested number of acceptors running, and distributes the slots among them.

use super::{
    end::End,
    listening::{Listening, Phase, Start},
    per_core::Cores,
    worker::{Worker, accepting, all_of},
};
use crate::{
    BoxError,
    acceptor::{AcceptLoop, Backoff, Setup},
    connection::event,
    error::Error,
    panic::{catch, discard},
    pool::{
        AssignmentCell, Control, Group, Key, Mode, News, Pool, Report, Reporter, Request, Stage,
        distribute,
    },
    service::{ConnectionService, Spawn},
};
use std::{
    collections::{BTreeMap, HashMap},
    future::{Future, pending},
    mem,
    pin::Pin,
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

/// Waits for a successor, and returns when it has taken over.
pub(super) type Succession = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Supervisor<S, X> {
    pub(super) setup: Setup<S, X>,
    cores: Cores,
    tasks: JoinSet<()>,
    keys: HashMap<Id, Key>,
    pub(super) workers: BTreeMap<Key, Worker>,
    /// The groups by number, from before they are served until their acceptors have ended.
    pub(super) listening: BTreeMap<u32, Listening>,
    pub(super) starts: Vec<Start>,
    /// Slots whose acceptor failed while it swept them.
    pub(super) orphans: Vec<(u32, Vec<usize>)>,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    reports: mpsc::UnboundedReceiver<Report>,
    reporter: mpsc::UnboundedSender<Report>,
    /// When to retry what failed: opening sockets, or restarting an acceptor whose task died.
    pub(super) retry_at: Option<Instant>,
    pub(super) backoff: Backoff,
}

impl<S: ConnectionService, X: Spawn> Supervisor<S, X> {
    pub(super) fn new(
        setup: Setup<S, X>,
        cores: Cores,
        requests: mpsc::UnboundedReceiver<Request>,
    ) -> Self {
        let (reporter, reports) = mpsc::unbounded_channel();
        let groups = setup.pool.groups();
        let listening = groups
            .into_iter()
            .map(|group| (group.id(), Listening::open(group)));
        Supervisor {
            listening: listening.collect(),
            starts: Vec::new(),
            requests,
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
        for listening in self.listening.values() {
            grow(&listening.group, acceptors)?;
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
        for listening in self.listening.values() {
            self.observe_start(&listening.group);
        }
        Ok(())
    }

    pub(super) fn observe_start(&self, group: &Group) {
        let event = event::Listening { addr: group.addr() };
        let registry = &self.pool().registry;
        registry.observe(|observer| observer.listener_started(&event));
    }

    pub(super) fn observe_stop(&self, group: &Group) {
        let event = event::Listening { addr: group.addr() };
        let registry = &self.pool().registry;
        registry.observe(|observer| observer.listener_stopped(&event));
    }

    /// Runs the server to its end. Meanwhile, `succession` waits for a successor.
    pub(super) async fn run(mut self, end: End, succession: Option<Succession>) {
        let mut changes = self.pool().control.subscribe();
        let mut succession = succession.unwrap_or_else(|| Box::pin(pending()));
        loop {
            let control = changes.borrow_and_update().clone();
            let drains_at = match &control.stage {
                Stage::Running => None,
                Stage::LameDuck(lame_duck) => Some(lame_duck.until),
                Stage::Draining(_) | Stage::Stopped(..) => break,
            };
            self.finish_starting();
            self.finish_closing();
            self.reconcile(&control);
            tokio::select! {
                () = self.wait(&mut changes) => {}
                () = until(drains_at) => self.pool().end_lame_duck(),
                () = &mut succession => succession = Box::pin(pending()),
            }
        }
        // A successor that has the sockets by now goes on without this server.
        drop(succession);
        self.refuse_requests();
        self.drain(end).await;
    }

    /// Waits until something may have to be done.
    async fn wait(&mut self, changes: &mut watch::Receiver<Control>) {
        let wake_at = self.retry_at.into_iter().chain(self.closing_at()).min();
        tokio::select! {
            _ = changes.changed() => {}
            Some(request) = self.requests.recv() => self.follow(request),
            Some(report) = self.reports.recv() => {
                self.hear(report);
                // Reports that arrived together are handled in one round.
                while let Ok(report) = self.reports.try_recv() {
                    self.hear(report);
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
                    self.forget_if_closed(key.group);
                }
                if died {
                    self.retry_at = Some(Instant::now() + self.backoff.next_delay());
                }
            }
            () = until(wake_at) => {
                self.retry_at.take_if(|at| *at <= Instant::now());
            }
        }
    }

    fn hear(&mut self, report: Report) {
        let group = report.from.group;
        if let Some(error) = self.note(report) {
            self.fail_starting(group, Error::Make(error));
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
        for (number, Listening { group, phase, .. }) in &self.listening {
            if !phase.is_accepting() {
                continue;
            }
            let mode = match group.is_paused() || group.is_leaving() {
                true => Mode::Pause,
                false => mode,
            };
            let accepting = accepting(&self.workers, *number);
            // A surplus acceptor stays as long as no other can take its slots.
            let mut owners: Vec<usize> = accepting.clone();
            owners.retain(|index| *index < ordered);
            if owners.is_empty() {
                owners.extend(accepting.first());
            }
            if self.retry_at.is_none() && !group.is_offered() {
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
            for (key, worker) in self.workers.range_mut(all_of(*number)) {
                let slots = owned.remove(&key.index);
                let mode = match &slots {
                    None if key.index >= ordered => Mode::Stop,
                    _ => mode,
                };
                worker.assign(mode, slots.unwrap_or_default(), control);
            }
        }
        self.publish(control.version);
    }

    /// Publishes the version that all acceptors follow. An acceptor that owns no slot accepts no
    /// client, so it need not be waited for.
    fn publish(&self, version: u64) {
        let is_open = |key: &Key| self.listening[&key.group].phase.is_accepting();
        let workers = self.workers.iter();
        let owners = workers.filter(|(key, worker)| worker.accepts && is_open(key));
        let followed = owners.map(|(_, worker)| worker.applied).min();
        let followed = followed.unwrap_or(version);
        self.pool().settled.send_if_modified(|settled| {
            let is_news = *settled < followed;
            *settled = followed.max(*settled);
            is_news
        });
    }

    /// Returns the acceptors of a group.
    pub(super) fn workers_of(&mut self, group: u32) -> impl Iterator<Item = (&Key, &mut Worker)> {
        self.workers.range_mut(all_of(group))
    }

    pub(super) fn spawn_missing(&mut self, acceptors: usize) {
        let groups = self.listening.values().filter(|listening| {
            // A group that is closed keeps the acceptors that it has.
            matches!(listening.phase, Phase::Starting) || listening.phase.is_accepting()
        });
        for group in groups
            .map(|listening| listening.group.clone())
            .collect::<Vec<_>>()
        {
            for index in 0..acceptors {
                let key = Key {
                    group: group.id(),
                    index,
                };
                if !self.workers.contains_key(&key) && !self.spawn(key, &group) {
                    self.retry_at = Some(Instant::now() + self.backoff.next_delay());
                }
            }
        }
    }

    /// Starts an acceptor. Returns false if `Clone`, which is user code, panics.
    fn spawn(&mut self, key: Key, group: &Arc<Group>) -> bool {
        let Ok(setup) = catch(|| self.setup.clone()) else {
            return false;
        };
        let remakes = self.pool().control.borrow().remakes;
        let cell = Arc::new(AssignmentCell::new(remakes));
        let to = self.reporter.clone();
        let acceptor = AcceptLoop::new(
            setup,
            group.clone(),
            Reporter { key, to },
            cell.clone(),
            self.cores.number_of(key.index),
        );
        let task = match self.cores.of(key.index) {
            Some(core) => self.tasks.spawn_on(acceptor.run(), core),
            None => self.tasks.spawn(acceptor.run()),
        };
        self.keys.insert(task.id(), key);
        let worker = Worker::new(cell);
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

/// Opens the sockets of a group for its acceptors.
pub(super) fn grow(group: &Group, acceptors: usize) -> Result<(), Error> {
    catch(|| group.grow(acceptors))
        .map_err(|panic| Error::Make(panic.into()))?
        .map_err(|error| Error::bind(&group.addr().to_string(), error))
}

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
