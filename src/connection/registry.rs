//! The connections of a server: how they begin and end, and the list of open ones.
//!
//! Each acceptor registers its clients through a [`Registrar`], in its own shard.

use super::{
    Connection, ConnectionHandle, ListenerEntry,
    activity_clock::ActivityClock,
    entry::Entry,
    event,
    observer::Observer,
    open_guard::OpenGuard,
    shard::{Shard, Totals},
};
use crate::listener::Transport;
use crate::{
    addr::Addr,
    connection::Phase,
    extensions::Extensions,
    limit::{Limit, Place},
    outcome::Outcome,
    panic::{catch, discard},
    sync::Mutex,
};
use std::{
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// All connections of one server, and the state they share.
pub(crate) struct Registry {
    /// Limits the number of connections.
    pub(crate) limit: Limit,
    pub(crate) state: Extensions,
    observers: Vec<Arc<dyn Observer>>,
    listeners: Mutex<Listeners>,
    /// How long clients may take to open their connections.
    pub(crate) opening_timeout: Option<Duration>,
    pub(crate) activity_clock: ActivityClock,
    next_id: AtomicU64,
    draining: AtomicBool,
    /// Whether something waits for the last connection to end.
    is_awaited: AtomicBool,
    idle: Notify,
}

#[derive(Debug, Default)]
struct Listeners {
    /// The listeners that are open or have open connections.
    list: Vec<Arc<ListenerEntry>>,
    /// The counts of those that were removed.
    removed: Totals,
}

impl Registry {
    pub(crate) fn new(
        limit: Limit,
        state: Extensions,
        observers: Vec<Arc<dyn Observer>>,
        opening_timeout: Option<Duration>,
    ) -> Self {
        Registry {
            limit,
            state,
            observers,
            listeners: Mutex::default(),
            opening_timeout,
            activity_clock: ActivityClock::default(),
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

    pub(crate) fn add_listener(&self, listener: &Arc<ListenerEntry>) {
        self.listeners.lock().list.push(listener.clone());
    }

    /// Records that a listener is closed. It is removed when its connections have ended.
    pub(crate) fn close_listener(&self, listener: &ListenerEntry) {
        listener.close();
        self.remove_listener_if_over(listener);
    }

    fn remove_listener_if_over(&self, listener: &ListenerEntry) {
        if !listener.is_over() {
            return;
        }
        listener.places.end_reserve();
        let removed = {
            let mut listeners = self.listeners.lock();
            let is_it = |known: &Arc<ListenerEntry>| std::ptr::eq(&**known, listener);
            let Some(place) = listeners.list.iter().position(is_it) else {
                return;
            };
            listeners.removed += listener.totals();
            listeners.list.remove(place)
        };
        // Its state is user code.
        discard(removed);
    }

    pub(crate) fn totals(&self) -> Totals {
        let listeners = self.listeners.lock();
        let mut sum = listeners.removed;
        for listener in &listeners.list {
            sum += listener.totals();
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

    /// Does the same, and lets other tasks run between two batches.
    pub(crate) async fn for_each_in_turns(&self, mut visit: impl FnMut(ConnectionHandle)) {
        let mut batch = Vec::new();
        let listeners = self.listeners.lock().list.clone();
        for listener in &listeners {
            for shard in listener.shards() {
                let mut next = Some(0);
                while let Some(row) = next {
                    next = shard.0.lock().open.copy(row, |_| true, &mut batch);
                    batch.drain(..).for_each(&mut visit);
                    if next.is_some() {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    fn visit(&self, is_wanted: impl Fn(u64) -> bool, mut visit: impl FnMut(ConnectionHandle)) {
        let mut batch = Vec::new();
        let listeners = self.listeners.lock().list.clone();
        for shard in listeners.iter().flat_map(|listener| listener.shards()) {
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
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Registers the connections of one acceptor.
pub(crate) struct Registrar {
    pub(crate) registry: Arc<Registry>,
    pub(crate) listener: Arc<ListenerEntry>,
    shard: Arc<Shard>,
}

impl Registrar {
    pub(crate) fn new(
        registry: &Arc<Registry>,
        listener: &Arc<ListenerEntry>,
        acceptor: usize,
    ) -> Arc<Self> {
        Arc::new(Registrar {
            registry: registry.clone(),
            listener: listener.clone(),
            shard: listener.shard(acceptor),
        })
    }

    /// Turns an accepted client into a connection, which is counted and listed from here on.
    pub(crate) fn register(
        self: &Arc<Self>,
        transport: Transport,
        peer: Addr,
        place: Place,
    ) -> Connection {
        let registry = &*self.registry;
        let (transport, other) = transport.split();
        let peer = peer.to_canonical();
        let handle = {
            let mut records = self.shard.0.lock();
            let id = records.next_id(&registry.next_id);
            let row = records.open.next_row();
            let entry = Entry::new(self.clone(), id, row, peer, place, transport);
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
        let shard = &self.shard.0;
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
            records.totals.bytes[0] += handle.bytes_read();
            records.totals.bytes[1] += handle.bytes_written();
            records.open.remove(handle)
        };
        drop(listed);
        if registry.is_awaited.load(Ordering::SeqCst) {
            registry.idle.notify_waiters();
        }
        place
    }

    /// Gives the place of an ended connection back.
    pub(super) fn give_back(&self, place: Place) {
        self.listener.places.give_back(place);
        if self.listener.is_closed() {
            self.registry.remove_listener_if_over(&self.listener);
        }
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar")
            .field("listener", &self.listener.addr)
            .finish_non_exhaustive()
    }
}
