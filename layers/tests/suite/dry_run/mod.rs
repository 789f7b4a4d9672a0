//! A dry run: on the same traffic, a limit spares the connections that it would have refused or
//! ended, and no others.

mod bandwidth;
mod connections;
mod protocols;
mod reports;
mod switching;
mod times;

use crate::support::until;
use reagent::{
    BoxError, Connection, Observer, Outcome, ServerHandle, event,
    testing::{Clients, MemoryListener},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, DuplexStream},
    time::Instant,
};

/// A decision of a limit: the connection, the reason, and the time since the start.
pub type Decision = (u64, String, Duration);

/// The decisions of limits, enforced or not.
#[derive(Clone, Debug)]
pub struct Decisions {
    began: Instant,
    all: Arc<Mutex<Vec<Decision>>>,
}

impl Decisions {
    fn new() -> Self {
        Decisions {
            began: Instant::now(),
            all: Arc::default(),
        }
    }

    fn add(&self, id: u64, reason: &str) {
        let decision = (id, reason.to_owned(), self.began.elapsed());
        self.all.lock().unwrap().push(decision);
    }

    /// Returns all decisions so far, in the order of connections.
    pub fn all(&self) -> Vec<Decision> {
        let mut all = self.all.lock().unwrap().clone();
        all.sort();
        all
    }

    /// Returns the connection and the reason of each decision so far.
    pub fn reasons(&self) -> Vec<(u64, String)> {
        let all = self.all().into_iter();
        all.map(|(id, reason, _)| (id, reason)).collect()
    }
}

impl Observer for Decisions {
    fn connection_spared(&self, event: &event::ConnectionSpared<'_>) {
        self.add(event.connection.id(), event.reason);
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        match event.outcome {
            Outcome::Rejected(rejected) => self.add(event.connection.id(), rejected.reason()),
            Outcome::TimedOut(timed_out) => self.add(event.connection.id(), timed_out.kind()),
            _ => {}
        }
    }
}

/// A server whose clients connect one after the other.
pub struct Trial {
    pub server: ServerHandle,
    pub decisions: Decisions,
    clients: Clients,
    connected: u64,
}

/// Starts a server with a layer, or several.
macro_rules! try_out {
    ($layer:expr, $handler:expr) => {{
        let (listener, clients, decisions) = $crate::dry_run::parts();
        let server = reagent::Server::new(listener)
            .observe(decisions.clone())
            .layer($layer)
            .start($handler)
            .await
            .unwrap();
        $crate::dry_run::Trial::new(server, decisions, clients)
    }};
}
use try_out;

pub fn parts() -> (MemoryListener, Clients, Decisions) {
    let (listener, clients) = MemoryListener::new();
    (listener, clients, Decisions::new())
}

impl Trial {
    pub fn new(server: ServerHandle, decisions: Decisions, clients: Clients) -> Self {
        Trial {
            server,
            decisions,
            clients,
            connected: 0,
        }
    }

    /// Connects from `192.0.2.N`.
    pub async fn dial(&mut self, n: u8) -> DuplexStream {
        let addr = SocketAddr::from(([192, 0, 2, n], 4000));
        self.connected += 1;
        self.clients.connect_from(addr).await.unwrap()
    }

    /// Does the same, and waits until the connection is served or refused.
    pub async fn connect(&mut self, n: u8) -> DuplexStream {
        let client = self.dial(n).await;
        let server = &self.server;
        until("it is accepted", || {
            server.stats().accepted >= self.connected
        })
        .await;
        settle().await;
        client
    }

    /// Waits until a connection has ended.
    pub async fn ended(&self, id: u64) {
        until("it has ended", || self.server.connection(id).is_none()).await;
    }
}

/// Lets other tasks run, while the clock stands still.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Reads until the client has left.
pub async fn read_all(mut conn: Connection) -> Result<(), BoxError> {
    let mut buf = [0; 1024];
    while conn.read(&mut buf).await? > 0 {}
    Ok(())
}
