//! The handle to a running server.

use super::{ListenerStats, ServerStatus, Stats};
use crate::{
    addr::Addr,
    connection::{ConnectionHandle, ConnectionInfo, DrainReport},
    error::Error,
    limit::Limit,
    pool::{Control, Pool, Stage},
};
use std::{
    fmt,
    future::{Future, IntoFuture},
    hash::{Hash, Hasher},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
};

/// Observes and controls a running server. It is cheap to clone.
///
/// The server keeps running when all its handles are dropped. Awaiting a handle is the same as
/// [`wait`](Self::wait).
///
/// # Example
///
/// One task drains the server while another waits for its end:
///
/// ```
/// use reagent::{Connection, Server, ServerStatus};
/// use std::time::Duration;
/// use tokio::net::TcpStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let server = Server::bind("127.0.0.1:0")
///     .start(reagent::handle(|conn: Connection| async move {
///         conn.draining().await;
///         Ok::<_, std::io::Error>(())
///     }))
///     .await?;
/// let _client = TcpStream::connect(server.local_addr().to_string()).await?;
///
/// let handle = server.clone();
/// tokio::spawn(async move { handle.drain(Duration::from_secs(10)).await });
///
/// let report = server.wait().await?;
/// assert_eq!((report.finished, report.aborted), (1, 0));
/// assert_eq!(server.status(), ServerStatus::Stopped);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) pool: Arc<Pool>,
    first: Addr,
}

impl ServerHandle {
    pub(super) fn new(pool: Arc<Pool>, first: Addr) -> Self {
        ServerHandle { pool, first }
    }

    /// Returns the first of the addresses that the server was started with, even if its listener
    /// was closed since then. Port 0 is replaced by the port that the system chose.
    pub fn local_addr(&self) -> &Addr {
        &self.first
    }

    /// Returns all addresses that the server listens on, in the order in which they were given.
    pub fn local_addrs(&self) -> impl Iterator<Item = Addr> + use<> {
        let groups = self.pool.groups().into_iter();
        groups.map(|group| group.addr().clone())
    }

    /// Returns a snapshot of the open connections, oldest first. It allocates for each connection
    /// and blocks none of them.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let mut connections = Vec::new();
        self.for_each_connection(|connection| connections.push(connection.info()));
        connections.sort_by_key(|connection| (connection.accepted_at, connection.id));
        connections
    }

    /// Calls `visit` for every open connection, in no particular order.
    ///
    /// No connection is held up meanwhile, so those that begin or end during the call may be
    /// included or left out.
    pub fn for_each_connection(&self, mut visit: impl FnMut(&ConnectionHandle)) {
        self.pool.registry.for_each(|connection| visit(&connection));
    }

    /// Does the same as [`for_each_connection`](Self::for_each_connection), and lets other tasks run
    /// in between, after every few hundred connections.
    ///
    /// Use it where a server may have very many connections.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the rest of the connections is not visited.
    pub async fn visit_connections(&self, mut visit: impl FnMut(&ConnectionHandle)) {
        let registry = &self.pool.registry;
        registry
            .for_each_in_turns(|connection| visit(&connection))
            .await;
    }

    /// Returns the handle of an open connection by its [id](crate::Connection::id).
    pub fn connection(&self, id: u64) -> Option<ConnectionHandle> {
        self.pool.registry.get(id)
    }

    /// Returns the number of open connections.
    pub fn connection_count(&self) -> usize {
        self.pool.registry.open()
    }

    /// Returns the counters and the status of the server.
    pub fn stats(&self) -> Stats {
        let max = self.pool.registry.limit.max();
        let mut stats = Stats {
            status: self.status(),
            max_connections: (max < usize::MAX).then_some(max),
            listeners: self.pool.groups().iter().map(ListenerStats::of).collect(),
            ..Stats::default()
        };
        stats.acceptors = self.pool.acceptors.load(Ordering::Relaxed);
        stats.turned_away = self.pool.turned_away.load(Ordering::Relaxed);
        stats.count(&self.pool.registry.totals());
        stats
    }

    /// Returns the status of the server.
    pub fn status(&self) -> ServerStatus {
        status(&self.pool.control.borrow())
    }

    /// Waits until the status is no longer `known`, and returns the new one.
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
    /// Cancel safe: this method only observes.
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

    /// Returns the limit on open connections, whose [children](Limit::child) may limit
    /// [groups of listeners](crate::Bind::limit) or whatever else shares it.
    pub fn limit(&self) -> &Limit {
        &self.pool.registry.limit
    }

    /// Sets the maximum number of open connections; `None` removes the limit.
    ///
    /// If there is room now, waiting clients are accepted at once. If more connections are open
    /// than the new maximum, none is closed, and no client is accepted until enough of them have
    /// ended. [`settled`](Self::settled) waits until the new maximum is in effect.
    pub fn set_max_connections(&self, max: impl Into<Option<usize>>) {
        self.pool.registry.limit.set_max(max);
        // So that `settled` waits for the acceptors to see the new maximum.
        self.pool.change(|_| ());
    }

    /// Sets the number of acceptors per address, 1,024 at most; 0 pauses the server.
    ///
    /// At 0, one acceptor per address remains and waits. This pause is independent of
    /// [`pause`](Self::pause): a server paused by both must be resumed by both.
    ///
    /// Surplus acceptors stop as soon as they are not accepting a client, and the remaining ones
    /// take over their queues: no connection and no waiting client is lost.
    pub fn set_acceptors(&self, count: usize) {
        self.pool.change(|control| control.set_acceptors(count));
    }

    /// Replaces the service of every acceptor by a new one from the `make` of
    /// [`start_make`](crate::Server::start_make), for example after the configuration has changed.
    ///
    /// An acceptor accepts no client while its service is made. If that fails, it continues with
    /// the previous service, and observers receive
    /// [`acceptor_failed`](crate::Observer::acceptor_failed). Open connections are not affected.
    /// [`settled`](Self::settled) waits until every acceptor has its new service or has failed.
    ///
    /// With [`start`](crate::Server::start), every acceptor gets a new clone.
    pub fn remake_services(&self) {
        self.pool.change(|control| control.remakes += 1);
    }

    /// Stops accepting clients, with the listening sockets left open.
    ///
    /// Clients wait in the kernel's queue, up to the size of the backlog. An acceptor that is about
    /// to accept a client still does so; [`settled`](Self::settled) waits until the pause is in
    /// effect.
    pub fn pause(&self) {
        self.pool.change(|control| control.paused = true);
    }

    /// Waits until every acceptor follows the changes made so far by [`pause`](Self::pause),
    /// [`set_max_connections`](Self::set_max_connections), [`set_acceptors`](Self::set_acceptors),
    /// [`remake_services`](Self::remake_services), and by the methods that change one listener.
    ///
    /// Until then, each acceptor may accept one more client by the previous settings. An acceptor
    /// whose thread is blocked is waited for. The future also resolves when the server has stopped.
    ///
    /// # Example
    ///
    /// ```
    /// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// # let greet = |mut conn: reagent::Connection| async move { conn.write_all(b"hello").await };
    /// # let server = reagent::Server::bind("127.0.0.1:0");
    /// # let server = server.start(reagent::handle(greet)).await?;
    /// server.pause();
    /// server.settled().await;
    /// // From here on, no client is accepted, but the kernel lets clients wait.
    /// let addr = server.local_addr().to_string();
    /// let mut client = tokio::net::TcpStream::connect(addr).await?;
    /// assert_eq!(server.stats().accepted, 0);
    ///
    /// server.resume();
    /// let mut greeting = String::new();
    /// client.read_to_string(&mut greeting).await?;
    /// assert_eq!(greeting, "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: this method only observes.
    pub async fn settled(&self) {
        self.pool.settled().await;
    }

    /// Resumes accepting after [`pause`](Self::pause), beginning with the clients that have waited
    /// longest.
    pub fn resume(&self) {
        self.pool.change(|control| control.paused = false);
    }

    /// Waits until the server has stopped, for whatever reason.
    ///
    /// # Errors
    ///
    /// Returns [`Error::ListenersLost`] if the server stopped by itself, because every listener was
    /// lost for good.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: this method only observes.
    pub async fn wait(&self) -> Result<DrainReport, Arc<Error>> {
        match self.pool.stopped().await {
            (report, None) => Ok(report),
            (_, Some(error)) => Err(error),
        }
    }
}

pub(super) fn status(control: &Control) -> ServerStatus {
    match control.stage {
        Stage::Running if control.is_paused() => ServerStatus::Paused,
        Stage::Running => ServerStatus::Running,
        Stage::LameDuck(_) => ServerStatus::LameDuck,
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

/// Two handles are equal if they belong to the same server.
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
