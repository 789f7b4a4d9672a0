//! The handle to a running server.

use super::{DrainReport, ListenerStatus, ServerStatus, Shared, Stats};
use crate::{Addr, ConnectionHandle, ConnectionInfo, Error, listener::Group, pool::Stage};
use std::{
    fmt,
    future::{Future, IntoFuture},
    hash::{Hash, Hasher},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Observes and controls a running server; cheap to clone.
///
/// Dropping every handle does not stop the server. Awaiting one is [`wait`](Self::wait).
#[derive(Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

impl ServerHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        ServerHandle { shared }
    }

    /// The address it listens on, the first of several, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> &Addr {
        self.shared.groups[0].addr()
    }

    /// All addresses it listens on, in the order they were given.
    pub fn local_addrs(&self) -> impl Iterator<Item = &Addr> {
        self.shared.groups.iter().map(Group::addr)
    }

    /// The open connections as they are now, the oldest first. It takes a moment for each, and holds up
    /// none.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.shared
            .registry
            .all()
            .iter()
            .map(ConnectionHandle::info)
            .collect()
    }

    /// The open connection of this number.
    pub fn connection(&self, id: u64) -> Option<ConnectionHandle> {
        self.shared.registry.get(id)
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.shared.counters.open()
    }

    /// What it did and does.
    pub fn stats(&self) -> Stats {
        let max = self.shared.limit.max();
        let mut stats = Stats {
            status: self.status(),
            max_connections: (max < usize::MAX).then_some(max),
            listeners: Vec::with_capacity(self.shared.groups.len()),
            ..Stats::default()
        };
        for group in &self.shared.groups {
            stats.listeners.push(ListenerStatus {
                addr: group.addr().clone(),
                lost: group.lost(),
            });
        }
        self.shared.counters.fill(&mut stats);
        stats
    }

    fn status(&self) -> ServerStatus {
        let control = self.shared.control.borrow();
        match control.stage {
            Stage::Running if control.is_paused() => ServerStatus::Paused,
            Stage::Running => ServerStatus::Running,
            Stage::Draining { .. } => ServerStatus::Draining,
            Stage::Stopped(_) => ServerStatus::Stopped,
        }
    }

    /// Sets how many connections may be open. Above what is open now, waiting clients are admitted at
    /// once; below it, nothing is closed, and nobody is admitted until enough have left.
    pub fn set_max_connections(&self, max: usize) {
        self.shared.limit.set_max(max);
    }

    /// Sets how many acceptors each address has, 1,024 at most; 0 pauses, and leaves one that waits. It has
    /// nothing to do with [`pause`](Self::pause): who pauses both ways resumes both ways. Those that are too many leave once they have
    /// nothing in hand, and their queues go to those that stay: no connection and no waiting client is
    /// lost.
    pub fn set_acceptors(&self, count: usize) {
        self.shared
            .control
            .send_modify(|control| control.set_acceptors(count));
    }

    /// Stops accepting and leaves the sockets open: clients wait in the kernel's queue, as many as the
    /// backlog holds.
    pub fn pause(&self) {
        self.shared
            .control
            .send_modify(|control| control.paused = true);
    }

    /// Accepts again, those that waited first.
    pub fn resume(&self) {
        self.shared
            .control
            .send_modify(|control| control.paused = false);
    }

    /// Stops the server in an orderly way: serves the clients that are in the queue already, stops
    /// listening, tells every connection to finish, waits for that, and after `deadline` aborts those
    /// that have not. It returns at once when nothing is open.
    ///
    /// Clients that come later are refused. A second call joins the first, and the sooner deadline
    /// holds. Cancel safe: the drain goes on.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        // A time too far away to be told is never.
        self.shared
            .drain(Instant::now().checked_add(deadline), true, None);
        self.shared.stopped().await.unwrap_or_default()
    }

    /// Stops the server at once: clients in the queue are reset, connections aborted.
    /// [`wait`](Self::wait) says when that is done.
    pub fn abort(&self) {
        self.shared.drain(Some(Instant::now()), false, None);
    }

    /// Waits until the server has stopped, and says why if nobody asked for it. Cancel safe.
    pub async fn wait(&self) -> Result<DrainReport, Arc<Error>> {
        self.shared.stopped().await
    }
}

impl IntoFuture for ServerHandle {
    type Output = Result<DrainReport, Arc<Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.wait().await })
    }
}

/// Equal handles are of one server.
impl PartialEq for ServerHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for ServerHandle {}

impl Hash for ServerHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.shared).hash(state);
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerHandle")
            .field(self.local_addr())
            .finish()
    }
}
