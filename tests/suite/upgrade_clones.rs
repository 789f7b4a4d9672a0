//! A stack of upgrades is cloned once per connection, however deep it is.

use crate::support::{echo, echoes, memory_server};
use reagent::{BoxError, Connection, IoStream, Upgrade, UpgradeLayer, handle};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tower::{
    Layer, Service, buffer::BufferLayer, limit::ConcurrencyLimitLayer, util::BoxCloneService,
};

/// Lets every client pass.
struct Pass;

impl<Io: IoStream> Upgrade<Io> for Pass {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        Ok(conn)
    }
}

/// Counts its clones.
struct CountClones<S>(S, Arc<AtomicUsize>);

impl<S: Clone> Clone for CountClones<S> {
    fn clone(&self) -> Self {
        self.1.fetch_add(1, SeqCst);
        CountClones(self.0.clone(), self.1.clone())
    }
}

impl<S: Service<Connection>> Service<Connection> for CountClones<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection) -> S::Future {
        self.0.call(conn)
    }
}

struct CountClonesLayer(Arc<AtomicUsize>);

impl<S> Layer<S> for CountClonesLayer {
    type Service = CountClones<S>;

    fn layer(&self, inner: S) -> CountClones<S> {
        CountClones(inner, self.0.clone())
    }
}

const CLIENTS: usize = 10;

#[tokio::test]
async fn only_the_outermost_upgrade_clones_what_is_inside_of_it() {
    let clones = Arc::new(AtomicUsize::new(0));
    let (server, clients, _accepted) = memory_server();
    let upgrade = || UpgradeLayer::new(Pass);
    let _server = server
        .layer(upgrade())
        .layer(upgrade())
        .layer(ConcurrencyLimitLayer::new(100))
        .layer(upgrade())
        .layer(CountClonesLayer(clones.clone()))
        .layer(upgrade())
        .layer(CountClonesLayer(clones.clone()))
        .start(handle(echo))
        .await
        .unwrap();
    clones.store(0, SeqCst);
    for _ in 0..CLIENTS {
        assert!(echoes(&mut clients.connect().await.unwrap(), "hello").await);
    }
    // The acceptor clones once more after each empty round, to release what readiness has reserved.
    let most = 2 * (2 * CLIENTS);
    assert!(clones.load(SeqCst) <= most, "{clones:?} of {most}");
}

/// State shared by connections is behind a pointer and is never used up.
#[tokio::test]
async fn an_upgrade_that_connections_share_serves_them_all() {
    let (server, clients, _accepted) = memory_server();
    let _server = server
        .layer(UpgradeLayer::new(Pass))
        .layer(BufferLayer::new(4))
        .layer(UpgradeLayer::new(Pass))
        .layer(BoxCloneService::layer())
        .layer(UpgradeLayer::new(Pass))
        .start(handle(echo))
        .await
        .unwrap();
    for _ in 0..CLIENTS {
        assert!(echoes(&mut clients.connect().await.unwrap(), "hello").await);
    }
}
