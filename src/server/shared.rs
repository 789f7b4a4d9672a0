//! What all parts of one server share.

use super::{Counters, DrainReport};
use crate::{
    Addr, Connection, ConnectionHandle, Error, Extensions, Observer, Outcome, Phase, Transport,
    acceptor::Exhaustion,
    connection::{Entry, OpenGuard, Registry},
    limit::{Limit, Permit},
    listener::Group,
    panic::catch,
    pool::{Control, Stage},
};
use std::{
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub(crate) struct Shared {
    pub(crate) limit: Limit,
    pub(crate) groups: Vec<Group>,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) exhaustion: Exhaustion,
    pub(crate) control: watch::Sender<Control>,
    /// Told when the last connection has gone.
    pub(crate) idle: Notify,
    pub(crate) state: Extensions,
    observers: Vec<Arc<dyn Observer>>,
    next_id: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        limit: Limit,
        groups: Vec<Group>,
        acceptors: usize,
        state: Extensions,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        Shared {
            limit,
            groups,
            registry: Registry::default(),
            counters: Counters::default(),
            exhaustion: Exhaustion::new(),
            control: watch::Sender::new(Control::new(acceptors)),
            idle: Notify::new(),
            state,
            observers,
            next_id: AtomicU64::new(1),
        }
    }

    pub(crate) fn is_observed(&self) -> bool {
        !self.observers.is_empty()
    }

    pub(crate) fn observe(&self, event: impl Fn(&dyn Observer)) {
        for observer in &self.observers {
            // Who watches must not be able to stop what it watches.
            let _ = catch(|| event(&**observer));
        }
    }

    /// Makes a connection of a client: from here on it is counted, listed and owned.
    pub(crate) fn register(
        self: &Arc<Self>,
        group: usize,
        transport: Transport,
        peer: Addr,
        permit: Permit,
    ) -> Connection {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let group = self.groups[group].index;
        let entry = Arc::new(Entry::new(self.clone(), id, group, peer, permit));
        let handle = ConnectionHandle { entry };
        let leg = OpenGuard::new(&handle);
        self.counters.connection_started();
        self.registry.insert(handle.clone());
        self.observe(|observer| observer.connection_started(&handle));
        handle.entry.set_phase(Phase::Handling);
        Connection::new(transport, leg)
    }

    /// The last of a connection is gone; its permit is what remains.
    pub(crate) fn ended(&self, handle: &ConnectionHandle) -> Option<Permit> {
        self.registry.remove(handle.id());
        // What is the user's leaves the lock before it is dropped or called: it may ask for this
        // connection.
        let (outcome, permit, kept, mailbox, on_end) = {
            let mut cold = handle.entry.cold();
            let outcome = cold.outcome.get_or_insert_with(Outcome::dropped).clone();
            let mailbox = cold.mailbox.take();
            let (kept, on_end) = (mem::take(&mut cold.guards), mem::take(&mut cold.on_end));
            (outcome, cold.permit.take(), kept, mailbox, on_end)
        };
        // This may be the drop of a panic.
        let _ = catch(|| drop(mailbox));
        for callback in on_end {
            let _ = catch(|| callback(&outcome));
        }
        self.observe(|observer| observer.connection_ended(handle, &outcome));
        if !kept.is_empty() {
            // Another's code, and this may be the drop of a panic.
            let _ = catch(|| drop(kept));
        }
        if self.counters.connection_ended(outcome.kind()) {
            self.idle.notify_waiters();
        }
        permit
    }

    pub(crate) fn listener_addr(&self, group: u32) -> &Addr {
        self.groups[group as usize].addr()
    }

    pub(crate) fn fixed_local_addr(&self, group: u32) -> Option<&Addr> {
        self.groups[group as usize].fixed_addr()
    }

    /// Stops accepting, and sets or brings forward the deadline.
    pub(crate) fn drain(&self, by: Option<Instant>, also_queued: bool, why: Option<Error>) {
        self.control
            .send_if_modified(|control| match &mut control.stage {
                life @ Stage::Running => {
                    let error = why.map(Arc::new);
                    let over = self.counters.over();
                    *life = Stage::Draining {
                        deadline: by,
                        sweep: also_queued,
                        over,
                        error,
                    };
                    true
                }
                Stage::Draining { deadline, .. } => {
                    let sooner = by.is_some_and(|by| deadline.is_none_or(|deadline| by < deadline));
                    if sooner {
                        *deadline = by;
                    }
                    sooner
                }
                Stage::Stopped(_) => false,
            });
    }

    /// A server without anything left to listen on must not look as if it served.
    pub(crate) fn stop_if_no_listeners(&self) {
        if self.groups.iter().all(Group::is_dead) {
            self.drain(None, false, Some(Error::ListenersLost));
        }
    }

    pub(crate) async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.counters.open() == 0 {
                return;
            }
            idle.await;
        }
    }

    pub(crate) async fn stopped(&self) -> Result<DrainReport, Arc<Error>> {
        let mut control = self.control.subscribe();
        loop {
            if let Stage::Stopped(result) = &control.borrow_and_update().stage {
                return result.clone();
            }
            // The sender is in `self`, so it is there.
            let _ = control.changed().await;
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}
