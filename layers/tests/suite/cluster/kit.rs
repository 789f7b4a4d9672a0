//! Instances of a cluster in one process, and a store that can fail for each of them.

use crate::support::{Ends, LONG};
use reagent::{
    Connection, Outcome, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    DryRun,
    cluster::{
        Batch, Cluster, ClusterBuilder, ClusterLayer, ClusterPerClient, Driver, MemoryStore, Store,
        StoreFuture,
    },
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MILLISECOND: Duration = Duration::from_millis(1);

/// The lease of all instances.
pub const LEASE: Duration = Duration::from_secs(9);

pub const CLIENT: &str = "192.0.2.1";

/// The way from one instance to the store.
#[derive(Clone, Debug, Default)]
pub struct Link {
    pub store: MemoryStore,
    pub state: Arc<LinkState>,
}

#[derive(Debug, Default)]
pub struct LinkState {
    is_cut: AtomicBool,
    /// Whether batches with claims fail.
    refuses_claims: AtomicBool,
    /// Whether batches are applied and their answers lost.
    is_deaf: AtomicBool,
    /// In milliseconds, before a batch is applied.
    delay: AtomicU64,
    batches: AtomicU64,
    under_way: AtomicU64,
    most_under_way: AtomicU64,
}

impl Link {
    pub fn to(store: &MemoryStore) -> Self {
        Link {
            store: store.clone(),
            state: Arc::default(),
        }
    }

    pub fn cut(&self, is_cut: bool) {
        self.state.is_cut.store(is_cut, Relaxed);
    }

    pub fn refuse_claims(&self) {
        self.state.refuses_claims.store(true, Relaxed);
    }

    pub fn deafen(&self, is_deaf: bool) {
        self.state.is_deaf.store(is_deaf, Relaxed);
    }

    pub fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay.store(millis, Relaxed);
    }

    /// Returns the highest number of batches that were under way at a time.
    pub fn most_under_way(&self) -> u64 {
        self.state.most_under_way.load(Relaxed)
    }

    pub fn batches(&self) -> u64 {
        self.state.batches.load(Relaxed)
    }
}

/// A batch, until it is answered or dropped.
struct UnderWay<'a>(&'a LinkState);

impl<'a> UnderWay<'a> {
    fn new(state: &'a LinkState) -> Self {
        let count = state.under_way.fetch_add(1, Relaxed) + 1;
        state.most_under_way.fetch_max(count, Relaxed);
        UnderWay(state)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

impl Store for Link {
    fn claim<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a> {
        Box::pin(async {
            let state = &self.state;
            state.batches.fetch_add(1, Relaxed);
            let _flight = UnderWay::new(state);
            let delay = state.delay.load(Relaxed);
            if delay > 0 {
                sleep(Duration::from_millis(delay)).await;
            }
            if state.is_cut.load(Relaxed) {
                return Err("the link is cut".into());
            }
            if state.refuses_claims.load(Relaxed) && !batch.claims.is_empty() {
                return Err("no permission for the keys of claims".into());
            }
            let answer = self.store.claim(batch).await;
            if state.is_deaf.load(Relaxed) {
                std::future::pending::<()>().await;
            }
            answer
        })
    }
}

/// One instance with a server.
pub struct Instance {
    pub cluster: Cluster,
    pub limit: ClusterPerClient,
    pub link: Link,
    pub clients: Clients,
    pub server: ServerHandle,
    pub ends: Ends,
    driver: JoinHandle<()>,
}

pub fn builder() -> ClusterBuilder {
    Cluster::builder("test").lease(LEASE)
}

impl Instance {
    pub async fn start(store: &MemoryStore, max: u32, builder: ClusterBuilder) -> Self {
        Self::start_linked(Link::to(store), max, builder).await
    }

    pub async fn start_linked(link: Link, max: u32, builder: ClusterBuilder) -> Self {
        let instance = Self::start_with(link.clone(), max, builder).await;
        Instance { link, ..instance }
    }

    pub async fn start_with(store: impl Store, max: u32, builder: ClusterBuilder) -> Self {
        Self::start_in(DryRun::default(), store, max, builder).await
    }

    pub async fn start_in(
        dry_run: DryRun,
        store: impl Store,
        max: u32,
        builder: ClusterBuilder,
    ) -> Self {
        let (cluster, driver) = builder.build(store);
        let driver = drive(driver);
        let limit = ClusterPerClient::new(&cluster, "per-client", max).dry_run(dry_run);
        let (listener, clients) = MemoryListener::new();
        let ends = Ends::default();
        let server = Server::new(listener)
            .observe(ends.clone())
            .observe(cluster.clone())
            .layer(ClusterLayer::new(limit.clone()))
            .start(handle(greet))
            .await
            .unwrap();
        let instance = Instance {
            cluster,
            limit,
            link: Link::default(),
            clients,
            server,
            ends,
            driver,
        };
        instance.settle().await;
        instance
    }

    /// Gives the driver time to do what is due.
    pub async fn settle(&self) {
        sleep(5 * MILLISECOND).await;
    }

    /// Connects, and returns the connection if it is admitted.
    pub async fn connect(&self, ip: &str) -> Option<DuplexStream> {
        let addr = SocketAddr::new(ip.parse().unwrap(), 4000);
        let mut client = self.clients.connect_from(addr).await.unwrap();
        let greeting = timeout(LONG, client.read_u8()).await.expect("an answer");
        greeting.is_ok().then_some(client)
    }

    /// Connects `count` times, and returns the connections that are admitted.
    pub async fn connect_many(&self, ip: &str, count: usize) -> Vec<DuplexStream> {
        let mut admitted = Vec::new();
        for _ in 0..count {
            admitted.extend(self.connect(ip).await);
        }
        admitted
    }

    pub fn open(&self, ip: &str) -> usize {
        self.limit.connections(ip.parse().unwrap())
    }

    /// Returns the reason for which the connection with this number was refused.
    pub async fn refusal(&self, id: u64) -> String {
        match self.ends.of(id).await {
            Outcome::Rejected(rejected) => rejected.reason().to_owned(),
            outcome => panic!("not refused: {outcome}"),
        }
    }

    /// Ends the instance as by a crash: it tells the store nothing, and its connections end.
    pub async fn kill(self) {
        self.end_driver().await;
        self.server.drain(Duration::ZERO).await;
    }

    /// Aborts the driver, which tells the store nothing.
    pub async fn end_driver(&self) {
        self.driver.abort();
        while !self.driver.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    pub fn is_driven(&self) -> bool {
        !self.driver.is_finished()
    }
}

#[expect(clippy::disallowed_methods, reason = "the program spawns the driver")]
pub fn drive(driver: Driver) -> JoinHandle<()> {
    tokio::spawn(driver)
}

/// Starts three instances of one cluster.
pub async fn three(store: &MemoryStore, max: u32, builder: ClusterBuilder) -> Vec<Instance> {
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Instance::start(store, max, builder.clone()).await);
    }
    // Until the store no longer learns, and everybody knows of everybody.
    sleep(LEASE + SECOND).await;
    instances
}

/// Greets a client, and keeps the connection until the client ends it.
pub async fn greet(mut conn: Connection) -> std::io::Result<()> {
    conn.write_u8(1).await?;
    conn.flush().await?;
    let mut draining = conn.draining();
    tokio::select! {
        _ = conn.read_u8() => Ok(()),
        () = &mut draining => Ok(()),
    }
}

/// Returns how long `future` takes by Tokio's clock.
pub async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let output = future.await;
    (output, began.elapsed())
}

/// Connects to a store for commands of the test itself.
pub fn commands(url: &str) -> redis::Connection {
    let client = redis::Client::open(url).unwrap();
    client.get_connection().unwrap()
}
