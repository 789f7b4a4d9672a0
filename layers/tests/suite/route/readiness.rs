//! Waiting for a route that is not ready, and its time limit.

use super::{Sniffing, ask, named, start};
use crate::support::LONG;
use reagent::{
    BoxError, Connection, IoStream, Limit, Outcome, Server, handle, testing::MemoryListener,
};
use reagent_layers::{
    limit::InFlightLayer,
    route::{Router, protocol},
    sniff::{Protocol, SniffLayer},
};
use std::{
    future::{Ready, ready},
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Instant, sleep, timeout},
};
use tower::{Service, ServiceBuilder, limit::ConcurrencyLimitLayer};

const SECOND: Duration = Duration::from_secs(1);

/// One connection at a time for SSH, and any number for HTTP.
fn one_at_a_time() -> Router<Sniffing> {
    let ssh = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(1))
        .service(named("ssh"));
    Router::new()
        .route(protocol(Protocol::Ssh), ssh)
        .route(protocol(Protocol::Http1), named("http"))
}

/// Reads the response to a client that has finished sending.
async fn answer(mut client: DuplexStream) -> String {
    let mut answer = String::new();
    client.shutdown().await.unwrap();
    let reading = client.read_to_string(&mut answer);
    timeout(LONG, reading).await.expect("an answer").unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn a_busy_route_keeps_only_its_own_clients_waiting() {
    let (server, clients) = start(one_at_a_time()).await;
    let mut first = clients.connect().await.unwrap();
    first.write_all(b"SSH-first").await.unwrap();
    sleep(SECOND).await;
    let mut second = clients.connect().await.unwrap();
    second.write_all(b"SSH-second").await.unwrap();
    sleep(SECOND).await;
    // The kernel's queue is empty, and clients of other routes pass.
    assert_eq!((server.connection_count(), clients.waiting()), (2, 0));
    assert_eq!(ask(&clients, "GET / ").await, "http");
    // The place goes to the waiting client.
    assert_eq!(answer(first).await, "ssh");
    assert_eq!(answer(second).await, "ssh");
    assert_eq!(ask(&clients, "SSH-third").await, "ssh");
}

#[tokio::test(start_paused = true)]
async fn undetected_clients_hold_no_place_in_any_route() {
    let (server, clients) = start(one_at_a_time()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(clients.connect().await.unwrap());
    }
    sleep(SECOND).await;
    assert_eq!(server.connection_count(), 50);
    assert_eq!(ask(&clients, "SSH-").await, "ssh");
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_an_end() {
    for (router, seconds) in [
        (one_at_a_time(), 10),
        (one_at_a_time().timeout(3 * SECOND), 3),
    ] {
        let (server, clients) = start(router).await;
        let mut first = clients.connect().await.unwrap();
        first.write_all(b"SSH-first").await.unwrap();
        sleep(SECOND).await;
        let began = Instant::now();
        assert_eq!(ask(&clients, "SSH-second").await, "");
        assert_eq!(began.elapsed().as_secs(), seconds);
        let ended = server.ends.of(2).await;
        assert!(
            matches!(&ended, Outcome::TimedOut(limit) if limit.kind() == "route"),
            "{ended}"
        );
        // The limit does not apply to served clients, and their place is free again afterwards.
        sleep(100 * SECOND).await;
        assert_eq!(answer(first).await, "ssh");
        assert_eq!(ask(&clients, "SSH-third").await, "ssh");
    }
    let (_server, clients) = start(one_at_a_time().timeout(None)).await;
    let mut first = clients.connect().await.unwrap();
    first.write_all(b"SSH-first").await.unwrap();
    sleep(SECOND).await;
    let mut second = clients.connect().await.unwrap();
    second.write_all(b"SSH-second").await.unwrap();
    sleep(10_000 * SECOND).await;
    assert_eq!(answer(first).await, "ssh");
    assert_eq!(answer(second).await, "ssh");
}

#[tokio::test(start_paused = true)]
async fn a_limit_around_the_router_leaves_clients_in_the_queue() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .layer(InFlightLayer::new(Limit::new(2)))
        .layer(SniffLayer::new())
        .start(one_at_a_time())
        .await
        .unwrap();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(clients.connect().await.unwrap());
    }
    sleep(SECOND).await;
    assert_eq!((server.connection_count(), clients.waiting()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn our_limits_and_what_sheds_load_can_stand_in_a_route() {
    let limit = Limit::new(1);
    let shedding = ServiceBuilder::new()
        .layer(InFlightLayer::new(limit.clone()).shed(reagent_layers::Refusal::message("busy")))
        .service(named("ssh"));
    let router = Router::new()
        .route(protocol(Protocol::Ssh), shedding)
        .fallback(
            ServiceBuilder::new()
                .layer(InFlightLayer::new(limit))
                .service(named("else")),
        );
    let (server, clients) = start(router).await;
    let mut first = clients.connect().await.unwrap();
    first.write_all(b"SSH-first").await.unwrap();
    sleep(SECOND).await;
    assert_eq!(ask(&clients, "SSH-second").await, "busy");
    assert!(matches!(server.ends.of(2).await, Outcome::Rejected(_)));
    assert_eq!(answer(first).await, "ssh");
    assert_eq!(ask(&clients, "hello").await, "else");
}

/// A service that must be polled ready before each call, for every clone.
struct Strict {
    ready: bool,
    clones: Arc<AtomicUsize>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Strict {
            ready: false,
            clones: self.clones.clone(),
        }
    }
}

impl<Io: IoStream> Service<Connection<Io>> for Strict {
    type Response = ();
    type Error = io::Error;
    type Future = Ready<io::Result<()>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Connection<Io>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "it was not asked");
        ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn the_clone_that_is_ready_is_the_one_that_is_called_and_no_other_is_made() {
    let (chosen, other) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let strict = |clones: &Arc<AtomicUsize>| Strict {
        ready: false,
        clones: clones.clone(),
    };
    let router = Router::new()
        .route(protocol(Protocol::Ssh), strict(&chosen))
        .fallback(strict(&other));
    let (server, clients) = start(router).await;
    for id in 1..=3 {
        assert_eq!(ask(&clients, "SSH-").await, "");
        let ended = server.ends.of(id).await;
        assert!(matches!(ended, Outcome::Completed), "{ended}");
    }
    let clones = [&chosen, &other].map(|clones| clones.load(Ordering::Relaxed));
    assert_eq!(clones, [3, 0]);
}

/// A service whose readiness fails permanently.
#[derive(Clone)]
struct Broken;

impl<Io: IoStream> Service<Connection<Io>> for Broken {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("no backend".into()))
    }

    fn call(&mut self, _: Connection<Io>) -> Self::Future {
        unreachable!("it is not ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_fails_to_be_ready_fails_its_clients_alone() {
    let router = Router::new()
        .route(protocol(Protocol::Ssh), Broken)
        .fallback(handle(|_: Connection| async { io::Result::Ok(()) }));
    let (server, clients) = start(router).await;
    assert_eq!(ask(&clients, "SSH-").await, "");
    let ended = server.ends.of(1).await;
    assert!(
        matches!(&ended, Outcome::Failed(error) if error.to_string() == "no backend"),
        "{ended}"
    );
    assert_eq!(ask(&clients, "hello").await, "");
    assert!(matches!(server.ends.of(2).await, Outcome::Completed));
}
