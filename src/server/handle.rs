//! The handle to a running server.

use super::{ListenerStatus, ServerStatus, Stats};
use crate::{
    addr::Addr,
    connection::{ConnectionHandle, ConnectionInfo, DrainReport},
    error::Error,
    listener::Group,
    pool::{Control, Pool, Stage},
};
use std::{
    fmt,
    future::{Future, IntoFuture},
    hash::{Hash, Hasher},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Observes and controls a running server; cheap to clone.
///
/// Dropping every handle does not stop the server. Awaiting one is [`wait`](Self::wait).
#[derive(Clone)]
pub struct ServerHandle {
    pool: Arc<Pool>,
}

impl ServerHandle {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        ServerHandle { pool }
    }

    /// The address it listens on, the first of several, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> &Addr {
        self.pool.groups[0].addr()
    }

    /// All addresses it listens on, in the order they were given.
    pub fn local_addrs(&self) -> impl Iterator<Item = &Addr> {
        self.pool.groups.iter().map(Group::addr)
    }

    /// The open connections as they are now, the oldest first. It takes a moment for each, and holds up
    /// none.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let mut connections = Vec::new();
        self.for_each_connection(|connection| connections.push(connection.info()));
        connections.sort_by_key(|connection| (connection.accepted_at, connection.id));
        connections
    }

    /// Calls `visit` for every open connection, in no particular order. Connections that begin or end
    /// meanwhile are not held up, and may be left out or included.
    pub fn for_each_connection(&self, mut visit: impl FnMut(&ConnectionHandle)) {
        self.pool.registry.for_each(|connection| visit(&connection));
    }

    /// The open connection of this number.
    pub fn connection(&self, id: u64) -> Option<ConnectionHandle> {
        self.pool.registry.get(id)
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.pool.registry.open()
    }

    /// What it did and does.
    pub fn stats(&self) -> Stats {
        let max = self.pool.registry.limit.max();
        let mut stats = Stats {
            status: self.status(),
            max_connections: (max < usize::MAX).then_some(max),
            listeners: Vec::with_capacity(self.pool.groups.len()),
            ..Stats::default()
        };
        for group in &self.pool.groups {
            stats.listeners.push(ListenerStatus {
                addr: group.addr().clone(),
                lost: group.lost(),
            });
        }
        stats.acceptors = self.pool.acceptors.load(Ordering::Relaxed);
        stats.turned_away = self.pool.turned_away.load(Ordering::Relaxed);
        stats.count(&self.pool.registry.totals());
        stats
    }

    /// Returns what it is doing.
    pub fn status(&self) -> ServerStatus {
        status(&self.pool.control.borrow())
    }

    /// Waits until it does something else than `known`, and returns what that is.
    ///
    /// ```
    /// # async fn f(server: reagent::ServerHandle) {
    /// let mut status = server.status();
    /// while status != reagent::ServerStatus::Stopped {
    ///     status = server.status_changed(status).await;
    ///     println!("the server is {status} now");
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it changes nothing.
    pub async fn status_changed(&self, known: ServerStatus) -> ServerStatus {
        let mut control = self.pool.control.subscribe();
        loop {
            let now = status(&control.borrow_and_update());
            // The sender is in the pool, so it is there.
            if now != known || control.changed().await.is_err() {
                return now;
            }
        }
    }

    /// Sets the most connections that may be open; `None` lifts the limit. Above what is open now, waiting
    /// clients are admitted at once; below it, nothing is closed, and nobody is admitted until enough have
    /// left. See [`settled`](Self::settled) for when it holds.
    pub fn set_max_connections(&self, max: impl Into<Option<usize>>) {
        self.pool.registry.limit.set_max(max);
        // So that `settled` tells when acceptors know.
        self.pool.change(|_| ());
    }

    /// Sets how many acceptors each address has, 1,024 at most; 0 pauses, and leaves one that waits. It has
    /// nothing to do with [`pause`](Self::pause): who pauses both ways resumes both ways. Those that are too many leave once they have
    /// nothing in hand, and their queues go to those that stay: no connection and no waiting client is
    /// lost.
    pub fn set_acceptors(&self, count: usize) {
        self.pool.change(|control| control.set_acceptors(count));
    }

    /// Stops accepting and leaves the sockets open: clients wait in the kernel's queue, as many as the
    /// backlog holds. An acceptor that is about to accept a client still does; see
    /// [`settled`](Self::settled) for when the pause holds.
    pub fn pause(&self) {
        self.pool.change(|control| control.paused = true);
    }

    /// Resolves once every acceptor follows the changes made so far by [`pause`](Self::pause),
    /// [`set_max_connections`](Self::set_max_connections) and [`set_acceptors`](Self::set_acceptors). Before
    /// that, each acceptor may accept one more client by the rules it knew. It also resolves when the server
    /// has stopped; it waits for an acceptor whose thread is blocked.
    ///
    /// ```
    /// # async fn f(server: reagent::ServerHandle) {
    /// server.pause();
    /// server.settled().await;
    /// // Nobody is accepted from here on.
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it changes nothing.
    pub async fn settled(&self) {
        self.pool.settled().await;
    }

    /// Accepts again, those that waited first.
    pub fn resume(&self) {
        self.pool.change(|control| control.paused = false);
    }

    /// Stops the server in an orderly way: tells every connection to finish, serves the clients that are
    /// in the queue already as far as the limits allow without waiting, stops listening, waits for the
    /// connections, and after `deadline` aborts those that have not finished. It returns at once when nothing is open.
    ///
    /// Clients that come later are refused. A second call joins the first, and the sooner deadline
    /// holds. Cancel safe: the drain goes on.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        // A time too far away to be told is never.
        self.pool
            .drain(Instant::now().checked_add(deadline), true, None);
        self.pool.stopped().await.0
    }

    /// Waits for `signal`, or for the server to stop by itself, and then [drains](Self::drain) it.
    ///
    /// ```no_run
    /// # async fn f(server: reagent::ServerHandle) {
    /// let ctrl_c = tokio::signal::ctrl_c();
    /// let report = server.drain_on(ctrl_c, std::time::Duration::from_secs(10)).await;
    /// println!("{} finished, {} aborted", report.finished, report.aborted);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: before the signal nothing has happened, and after it the drain goes on.
    pub async fn drain_on<F: Future>(&self, signal: F, deadline: Duration) -> DrainReport {
        tokio::select! {
            _ = signal => {}
            _ = self.pool.stopped() => {}
        }
        self.drain(deadline).await
    }

    /// Stops the server at once: clients in the queue are reset, connections aborted.
    /// [`wait`](Self::wait) says when that is done.
    pub fn abort(&self) {
        self.pool.drain(Some(Instant::now()), false, None);
    }

    /// Waits until the server has stopped, and says why if nobody asked for it. Cancel safe.
    pub async fn wait(&self) -> Result<DrainReport, Arc<Error>> {
        match self.pool.stopped().await {
            (report, None) => Ok(report),
            (_, Some(error)) => Err(error),
        }
    }
}

fn status(control: &Control) -> ServerStatus {
    match control.stage {
        Stage::Running if control.is_paused() => ServerStatus::Paused,
        Stage::Running => ServerStatus::Running,
        Stage::Draining(_) => ServerStatus::Draining,
        Stage::Stopped(..) => ServerStatus::Stopped,
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
        Arc::ptr_eq(&self.pool, &other.pool)
    }
}

impl Eq for ServerHandle {}

impl Hash for ServerHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.pool).hash(state);
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerHandle")
            .field(self.local_addr())
            .finish()
    }
}
