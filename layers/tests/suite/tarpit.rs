//! `Refusal::tarpit`: refused clients are kept without an answer, within bounds, at little cost.

use crate::support::{LONG, echo, echoes, until};
use reagent::{
    Connection, Phase, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    Refusal, Tarpit,
    access::{Access, AccessLayer, Rules},
    limit::{
        AcceptRate, AcceptRateLayer, InFlightLayer, PerClient, PerClientLayer, PerClientRate,
        PerClientRateLayer,
    },
    route::Router,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, DuplexStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::util::MapRequestLayer;

const HELD: Duration = Duration::from_secs(30);

/// A layer that refuses `192.0.2.0/24` by `tarpit`.
fn denying(tarpit: &Tarpit) -> AccessLayer {
    let rules = Rules::new().deny_all(["192.0.2.0/24"]).unwrap();
    AccessLayer::new(Access::new(rules).refusal(Refusal::tarpit(tarpit)))
}

async fn start(server: Server, tarpit: &Tarpit) -> ServerHandle {
    let server = server.observe(tarpit.clone()).layer(denying(tarpit));
    server.start(handle(echo)).await.unwrap()
}

async fn client(clients: &Clients, ip: &str) -> DuplexStream {
    let addr = SocketAddr::new(ip.parse().unwrap(), 4000);
    clients.connect_from(addr).await.unwrap()
}

async fn until_held(tarpit: &Tarpit, count: usize) {
    until("held", || tarpit.stats().held == count).await;
}

async fn is_closed(client: &mut DuplexStream) -> bool {
    matches!(
        timeout(Duration::ZERO, client.read(&mut [0])).await,
        Ok(Ok(0))
    )
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_held_without_an_answer_until_its_time_is_over() {
    let tarpit = Tarpit::new(10).hold_time(HELD);
    let (listener, clients) = MemoryListener::new();
    let server = start(Server::new(listener), &tarpit).await;
    let began = Instant::now();
    let mut first = client(&clients, "192.0.2.1").await;
    until_held(&tarpit, 1).await;
    let connection = server.connection(1).unwrap();
    assert_eq!(connection.phase(), Phase::Detached);
    sleep(Duration::from_secs(10)).await;
    let mut second = client(&clients, "192.0.2.2").await;
    assert_eq!(first.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(began.elapsed(), HELD);
    assert_eq!(second.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(began.elapsed().as_secs(), 40);
    assert_eq!(connection.closed().await.to_string(), "rejected: access");
    assert!(echoes(&mut client(&clients, "198.51.100.1").await, "hello").await);
    let stats = tarpit.stats();
    assert_eq!((stats.held, stats.total, stats.overflowed), (0, 2, 0));
    assert_eq!(server.stats().rejected, 2);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_ceiling_clients_are_closed_and_counted() {
    let tarpit = Tarpit::new(2);
    let (listener, clients) = MemoryListener::new();
    let server = start(Server::new(listener), &tarpit).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(client(&clients, "192.0.2.1").await);
    }
    until_held(&tarpit, 2).await;
    for _ in 0..5 {
        let mut third = client(&clients, "192.0.2.1").await;
        assert_eq!(third.read(&mut [0]).await.unwrap(), 0);
    }
    assert_eq!((tarpit.stats().overflowed, tarpit.stats().total), (5, 2));
    // A client that leaves makes room, and a higher ceiling does so too.
    held.pop();
    until_held(&tarpit, 1).await;
    tarpit.set_max(3);
    for _ in 0..2 {
        held.push(client(&clients, "192.0.2.1").await);
    }
    until_held(&tarpit, 3).await;
    assert_eq!(
        (server.connection_count(), tarpit.stats().overflowed),
        (3, 5)
    );
}

#[tokio::test]
async fn a_client_that_has_sent_bytes_and_leaves_frees_its_place_at_once() {
    let tarpit = Tarpit::new(1);
    let rules = Rules::new().deny_all(["127.0.0.1"]).unwrap();
    let access = Access::new(rules).refusal(Refusal::tarpit(&tarpit));
    let server = Server::bind("127.0.0.1:0").layer(AccessLayer::new(access));
    let server = server.start(handle(echo)).await.unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    for number in 1..=3 {
        let mut client = TcpStream::connect(addr).unwrap();
        client.write_all(&[0; 10_000]).unwrap();
        until_held(&tarpit, 1).await;
        let connection = server.connection(number).unwrap();
        drop(client);
        timeout(LONG, connection.closed()).await.unwrap();
        assert_eq!(connection.bytes_read(), 0);
        until_held(&tarpit, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_all_held_clients_at_once() {
    let tarpit = Tarpit::new(100);
    let (listener, clients) = MemoryListener::new();
    let server = start(Server::new(listener), &tarpit).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(client(&clients, "192.0.2.1").await);
    }
    until_held(&tarpit, 100).await;
    let began = Instant::now();
    let report = server.drain(LONG).await;
    assert_eq!((report.aborted, report.remaining), (0, 0));
    assert_eq!(began.elapsed(), Duration::ZERO);
    for client in &mut held {
        assert!(is_closed(client).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_client_gives_way_to_one_that_waits_for_a_place() {
    let tarpit = Tarpit::new(10);
    let (listener, clients) = MemoryListener::new();
    let server = start(Server::new(listener).max_connections(3), &tarpit).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(client(&clients, "192.0.2.1").await);
        until_held(&tarpit, held.len()).await;
    }
    let began = Instant::now();
    let mut served = Vec::new();
    for count in 1..=3 {
        served.push(client(&clients, "198.51.100.1").await);
        assert!(echoes(served.last_mut().unwrap(), "hello").await);
        // The oldest goes first.
        assert!(is_closed(&mut held[count - 1]).await);
        assert_eq!(tarpit.stats().gave_way, count as u64);
        assert_eq!(server.connection_count(), 3);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_held_while_others_wait_for_a_place() {
    let tarpit = Tarpit::new(10);
    let (listener, clients) = MemoryListener::new();
    // It is not an observer. The second connection of a client is refused after a second.
    let limit = PerClient::new(1).wait(1, Duration::from_secs(1));
    let layer = PerClientLayer::new(limit.refusal(Refusal::tarpit(&tarpit)));
    let server = Server::new(listener).max_connections(2).layer(layer);
    let _server = server.start(handle(echo)).await.unwrap();
    let mut first = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut first, "hello").await);
    let mut second = client(&clients, "192.0.2.1").await;
    let mut other = client(&clients, "198.51.100.1").await;
    assert!(echoes(&mut other, "hello").await);
    assert!(is_closed(&mut second).await);
    assert_eq!((tarpit.stats().total, tarpit.stats().gave_way), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn every_layer_that_refuses_can_hold() {
    let tarpit = Tarpit::new(10);
    let refusal = || Refusal::tarpit(&tarpit);
    // The client with this number is refused.
    macro_rules! holds {
        ($number:literal, $reason:literal, $layer:expr) => {
            holds!(@ $number, $reason, server => server.layer($layer).start(handle(echo)))
        };
        (@ $number:literal, $reason:literal, $server:ident => $start:expr) => {{
            let (listener, clients) = MemoryListener::new();
            let $server = Server::new(listener);
            let server = $start.await.unwrap();
            let number: u64 = $number;
            for _ in 1..number {
                let mut served = client(&clients, "192.0.2.1").await;
                assert!(echoes(&mut served, "hello").await);
            }
            let client = client(&clients, "192.0.2.1").await;
            until_held(&tarpit, 1).await;
            let connection = server.connection(number).unwrap();
            drop(client);
            let outcome = connection.closed().await.to_string();
            assert_eq!(outcome, concat!("rejected: ", $reason));
            until_held(&tarpit, 0).await;
        }};
    }
    let per_client = PerClient::new(0).refusal(refusal());
    let per_client_rate = PerClientRate::new(0.0, 1.0).refusal(refusal());
    let accept_rate = AcceptRateLayer::new(AcceptRate::new(0.0, 1.0)).shed(refusal());
    let in_flight = InFlightLayer::new(reagent::Limit::new(0)).shed(refusal());
    let router = Router::new().refusal(refusal());
    holds!(1, "access", denying(&tarpit));
    holds!(1, "client connections", PerClientLayer::new(per_client));
    holds!(2, "client rate", PerClientRateLayer::new(per_client_rate));
    holds!(2, "accept rate", accept_rate);
    holds!(1, "in flight", in_flight);
    holds!(@ 1, "no route", server => server.start(router));
}

#[tokio::test(start_paused = true)]
async fn the_layers_around_it_are_done_with_a_held_client() {
    let tarpit = Tarpit::new(10);
    let (listener, clients) = MemoryListener::new();
    let running = reagent::Limit::new(1);
    let server = Server::new(listener)
        .layer(InFlightLayer::new(running.clone()))
        .layer(denying(&tarpit));
    let server = server.start(handle(echo)).await.unwrap();
    let _held = client(&clients, "192.0.2.1").await;
    until_held(&tarpit, 1).await;
    assert_eq!((running.taken(), server.connection_count()), (0, 1));
    assert!(echoes(&mut client(&clients, "198.51.100.1").await, "hello").await);
}

#[tokio::test]
async fn what_layers_have_left_for_the_handler_is_dropped() {
    let tarpit = Tarpit::new(10);
    let left = Arc::new(());
    let leave = {
        let left = left.clone();
        move |mut conn: Connection| {
            conn.extensions_mut().insert(left.clone());
            conn.map_io(tokio::io::BufStream::new)
        }
    };
    let server = Server::bind("127.0.0.1:0").layer(MapRequestLayer::new(leave));
    let router = Router::new().refusal(Refusal::tarpit(&tarpit));
    let server = server.start(router).await.unwrap();
    let layers = Arc::strong_count(&left);
    let _client = TcpStream::connect(server.local_addr().socket_addr().unwrap()).unwrap();
    until_held(&tarpit, 1).await;
    until("dropped", || Arc::strong_count(&left) == layers).await;
    assert_eq!(server.connection_count(), 1);
}

#[test]
fn a_tarpit_outlives_the_runtime_of_its_first_client() {
    let tarpit = Tarpit::new(10);
    let serve = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        let rules = Rules::new().deny_all(["127.0.0.1"]).unwrap();
        let access = Access::new(rules).refusal(Refusal::tarpit(&tarpit));
        let server = Server::bind("127.0.0.1:0").layer(AccessLayer::new(access));
        let server = runtime.block_on(server.start(handle(echo))).unwrap();
        let addr = server.local_addr().socket_addr().unwrap();
        let client = TcpStream::connect(addr).unwrap();
        runtime.block_on(until_held(&tarpit, 1));
        (runtime, client)
    };
    for _ in 0..3 {
        let (runtime, mut client) = serve();
        drop(runtime);
        assert_eq!(tarpit.stats().held, 0);
        client.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_number_of_clients_at_once_takes_one_place_too_many() {
    const MAX: usize = 8;
    let tarpit = Tarpit::new(MAX).hold_time(Duration::from_millis(5));
    let (listener, clients) = MemoryListener::new();
    let server = start(Server::new(listener).max_connections(16), &tarpit).await;
    let mut tasks = JoinSet::new();
    for seed in 0..8 {
        let (clients, tarpit) = (clients.clone(), tarpit.clone());
        tasks.spawn(async move {
            for step in 0..200 {
                let mut held = client(&clients, "192.0.2.1").await;
                assert!(tarpit.stats().held <= MAX);
                // Some leave at once, some when they are closed.
                if (seed + step) % 3 == 0 {
                    timeout(LONG, held.read(&mut [0])).await.unwrap().unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
    until("all gone", || server.connection_count() == 0).await;
    until_held(&tarpit, 0).await;
    let stats = tarpit.stats();
    let decided = stats.total + stats.overflowed;
    // Some were closed at once since others waited, and some were released later.
    assert!(
        (1600 - stats.gave_way..=1600).contains(&decided),
        "{stats:?}"
    );
}

/// Returns the heap memory of a connection that is held, or that a handler with a buffer serves.
fn heap_of_each(is_held: bool) -> i64 {
    const COUNT: usize = 200;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let tarpit = Tarpit::new(10_000);
    let network = if is_held { "127.0.0.1" } else { "192.0.2.1" };
    let rules = Rules::new().deny_all([network]).unwrap();
    let access = Access::new(rules).refusal(Refusal::tarpit(&tarpit));
    let server = Server::bind("127.0.0.1:0").layer(AccessLayer::new(access));
    let server = server.start(handle(|mut conn: Connection| async move {
        let mut buf = [0; 4096];
        while conn.read(&mut buf).await? > 0 {}
        std::io::Result::Ok(())
    }));
    let server = runtime.block_on(server).unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut fleet = Vec::with_capacity(2 * COUNT);
    let mut come = || {
        let open = fleet.len() + COUNT;
        for _ in 0..COUNT / 50 {
            // Sockets of the standard library allocate nothing.
            fleet.extend((0..50).map(|_| TcpStream::connect(addr).unwrap()));
            let open = fleet.len();
            runtime.block_on(until("accepted", || server.connection_count() == open));
        }
        let held = if is_held { open } else { 0 };
        runtime.block_on(until_held(&tarpit, held));
    };
    come();
    allocation_counter::measure(come).bytes_current / COUNT as i64
}

#[test]
fn a_held_client_costs_its_socket_its_entry_and_little_else() {
    let (held, served) = (heap_of_each(true), heap_of_each(false));
    assert!(held < 1_500, "{held} bytes for each that is held");
    assert!(held < served - 3_500, "{held} bytes held, {served} served");
}
