//! The connections of a server: how they begin and end, and the list of open ones.
//!
//! Each acceptor registers its clients through a [`Registrar`], in a shard padded to a cache line,
//! so that acceptors on different cores do not write to the same line.

use super::{
    Connection, ConnectionHandle, entry::Entry, event, observer::Observer, open_guard::OpenGuard,
    table::Table,
};
use crate::listener::Transport;
use crate::{
    addr::Addr,
    connection::Phase,
    extensions::Extensions,
    limit::{Limit, Place},
    outcome::{Outcome, OutcomeKind},
    panic::{catch, discard},
    sync::Mutex,
};
use std::{
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// The number of shards. If there are more acceptors, they share shards.
const SHARDS: usize = 64;

/// The number of ids that a shard takes from the server at once.
const IDS: u64 = 64;

/// All connections of one server, and the state they share.
pub(crate) struct Registry {
    /// Limits the number of connections.
    pub(crate) limit: Limit,
    pub(crate) state: Extensions,
    observers: Vec<Arc<dyn Observer>>,
    listeners: Vec<ListenerAddr>,
    /// How long clients may take to open their connections.
    pub(crate) opening_timeout: Option<Duration>,
    shards: Box<[Shard]>,
    /// The number of shards that were assigned to acceptors.
    used: AtomicUsize,
    next_id: AtomicU64,
    draining: AtomicBool,
    /// Whether something waits for the last connection to end.
    is_awaited: AtomicBool,
    idle: Notify,
}

/// The address of a listener, and whether it is the local address of every connection it accepts.
#[derive(Debug)]
pub(crate) struct ListenerAddr {
    pub(crate) addr: Addr,
    pub(crate) is_fixed: bool,
}

// Two cache lines, since x86-64 processors prefetch lines in pairs.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<Records>);

#[derive(Default)]
struct Records {
    open: Table,
    /// The ids that are left of the current block.
    ids: (u64, u64),
    totals: Totals,
}

/// The numbers of connections that began and that ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) ended: [u64; OutcomeKind::ALL.len()],
}

impl Totals {
    /// Returns the number of connections that ended, with any outcome.
    pub(crate) fn over(&self) -> u64 {
        self.ended.iter().sum()
    }

    pub(crate) fn open(&self) -> usize {
        // Shards are read one after the other, but each is consistent in itself.
        usize::try_from(self.accepted - self.over()).unwrap_or(usize::MAX)
    }
}

impl Registry {
    pub(crate) fn new(
        limit: Limit,
        state: Extensions,
        observers: Vec<Arc<dyn Observer>>,
        listeners: Vec<ListenerAddr>,
        opening_timeout: Option<Duration>,
    ) -> Self {
        Registry {
            limit,
            state,
            observers,
            listeners,
            opening_timeout,
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            used: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
            idle: Notify::new(),
        }
    }

    pub(crate) fn is_observed(&self) -> bool {
        !self.observers.is_empty()
    }

    /// Calls every observer. A panic in one is caught, so that it does not stop what it observes.
    pub(crate) fn observe(&self, event: impl Fn(&dyn Observer)) {
        for observer in &self.observers {
            drop(catch(|| event(&**observer)));
        }
    }

    pub(crate) fn listener(&self, index: u32) -> &ListenerAddr {
        &self.listeners[index as usize]
    }

    fn used(&self) -> &[Shard] {
        &self.shards[..self.used.load(Ordering::Acquire).min(SHARDS)]
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for shard in self.used() {
            let totals = shard.0.lock().totals;
            sum.accepted += totals.accepted;
            for (sum, ended) in sum.ended.iter_mut().zip(totals.ended) {
                *sum += ended;
            }
        }
        sum
    }

    pub(crate) fn open(&self) -> usize {
        self.totals().open()
    }

    /// Returns the open connection with this id. The search is linear.
    pub(crate) fn get(&self, id: u64) -> Option<ConnectionHandle> {
        let mut found = None;
        self.visit(|known| known == id, |handle| found = Some(handle));
        found
    }

    /// Calls `visit` for every open connection. No lock is held meanwhile, so connections that
    /// begin or end during the visit may be included or left out.
    pub(crate) fn for_each(&self, visit: impl FnMut(ConnectionHandle)) {
        self.visit(|_| true, visit);
    }

    fn visit(&self, is_wanted: impl Fn(u64) -> bool, mut visit: impl FnMut(ConnectionHandle)) {
        let mut batch = Vec::new();
        for shard in self.used() {
            let mut next = Some(0);
            while let Some(row) = next {
                next = shard.0.lock().open.copy(row, &is_wanted, &mut batch);
                batch.drain(..).for_each(&mut visit);
            }
        }
    }

    /// Asks connections to finish that are accepted from now on. To ask the others, visit them
    /// afterwards: a connection is registered first and checks this flag later.
    pub(crate) fn drain_new(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Waits until no connection is open.
    pub(crate) async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            // Before the count: an end is counted first and checks this flag afterwards.
            self.is_awaited.store(true, Ordering::SeqCst);
            if self.open() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// Registers the connections of one acceptor.
pub(crate) struct Registrar {
    pub(crate) registry: Arc<Registry>,
    shard: usize,
}

impl Registrar {
    pub(crate) fn new(registry: &Arc<Registry>) -> Arc<Self> {
        let shard = registry.used.fetch_add(1, Ordering::AcqRel) % SHARDS;
        Arc::new(Registrar {
            registry: registry.clone(),
            shard,
        })
    }

    /// Turns an accepted client into a connection, which is counted and listed from here on.
    pub(crate) fn register(
        self: &Arc<Self>,
        listener: u32,
        transport: Transport,
        peer: Addr,
        place: Place,
    ) -> Connection {
        let registry = &*self.registry;
        let (transport, other) = transport.split();
        let peer = peer.to_canonical();
        let handle = {
            let mut records = registry.shards[self.shard].0.lock();
            let id = records.next_id(&registry.next_id);
            let row = records.open.next_row();
            let entry = Entry::new(self.clone(), id, row, listener, peer, place, transport);
            let handle = ConnectionHandle {
                entry: Arc::new(entry),
            };
            records.totals.accepted += 1;
            records.open.insert(handle.clone());
            handle
        };
        let guard = OpenGuard::first(handle);
        let handle = guard.handle();
        if registry.draining.load(Ordering::SeqCst) {
            handle.drain();
        }
        registry.observe(|observer| observer.connection_started(handle));
        handle.entry.set_phase(Phase::Handling);
        Connection::new(guard, other)
    }

    /// Ends a connection whose last part is gone. Returns its place in the limit, to be given back
    /// last.
    pub(super) fn end(&self, handle: &ConnectionHandle) -> Option<Place> {
        let registry = &*self.registry;
        let shard = &registry.shards[self.shard].0;
        let is_observed = registry.is_observed();
        if is_observed {
            // For observers, the connection is no longer listed, but still counted.
            let listed = shard.lock().open.remove(handle);
            drop(listed);
        }
        let (kind, outcome, rare, task, place) = {
            let mut cold = handle.entry.cold();
            let rare = cold.rare.as_mut().map(|rare| {
                let mailbox = rare.mailbox.take();
                (
                    mailbox,
                    mem::take(&mut rare.on_end),
                    mem::take(&mut rare.guards),
                )
            });
            // A handle may be kept for a long time, and with it the waker and the task of the
            // connection.
            let task = cold.task.take();
            let place = cold.place.take();
            let outcome = cold.outcome.get_or_insert_with(Outcome::dropped);
            // Without observers and rare state, only the kind of the outcome is needed.
            let told = (is_observed || rare.is_some()).then(|| outcome.clone());
            (outcome.kind(), told, rare, task, place)
        };
        // User code runs here, and this may be the drop during a panic.
        let (mailbox, on_end, guards) = rare.unwrap_or_default();
        discard(task);
        discard(mailbox);
        if let Some(outcome) = &outcome {
            for callback in on_end {
                drop(catch(|| callback(outcome)));
            }
            let event = event::ConnectionEnded {
                connection: handle,
                outcome,
            };
            registry.observe(|observer| observer.connection_ended(&event));
        }
        // One by one: two that panic at the same time would abort the process.
        guards.into_iter().for_each(discard);
        let listed = {
            let mut records = shard.lock();
            records.totals.ended[kind.index()] += 1;
            records.open.remove(handle)
        };
        drop(listed);
        if registry.is_awaited.load(Ordering::SeqCst) {
            registry.idle.notify_waiters();
        }
        place
    }
}

impl Records {
    fn next_id(&mut self, block: &AtomicU64) -> u64 {
        let (next, end) = &mut self.ids;
        if next == end {
            *next = block.fetch_add(IDS, Ordering::Relaxed);
            *end = *next + IDS;
        }
        *next += 1;
        *next - 1
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}
