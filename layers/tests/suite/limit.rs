//! The limits of `limit` are exact, adjustable and shareable, and use bounded memory.

use crate::support::{Ends, LONG, Served, echo, echoes, until};
use reagent::{
    Addr, Limit, Outcome, Server, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    Refusal,
    limit::{
        AcceptRate, AcceptRateLayer, InFlightLayer, PerClient, PerClientLayer, PerClientRate,
        PerClientRateLayer,
    },
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, DuplexStream},
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

macro_rules! start {
    ($layer:expr) => {{
        let (listener, clients) = MemoryListener::new();
        let ends = Ends::default();
        let server = Server::new(listener).observe(ends.clone()).layer($layer);
        let server = server.start(handle(echo)).await.unwrap();
        (Served { server, ends }, clients)
    }};
}

async fn client(clients: &Clients, ip: &str) -> DuplexStream {
    clients
        .connect_from(SocketAddr::new(ip.parse().unwrap(), 4000))
        .await
        .unwrap()
}

async fn is_refused(server: &Served, id: u64, reason: &str) -> bool {
    matches!(server.ends.of(id).await, Outcome::Rejected(rejected) if rejected.reason() == reason)
}

#[tokio::test(start_paused = true)]
async fn a_client_has_a_number_of_connections_and_another_has_its_own() {
    let limit = PerClient::new(2);
    let (server, clients) = start!(PerClientLayer::new(limit.clone()));
    let mut held = Vec::new();
    for ip in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        held.push(client(&clients, ip).await);
        assert!(echoes(held.last_mut().unwrap(), "hello").await);
    }
    assert_eq!(
        (
            limit.clients(),
            limit.connections("192.0.2.1".parse().unwrap())
        ),
        (2, 2)
    );
    let mut third = client(&clients, "192.0.2.1").await;
    assert!(is_refused(&server, 4, "client connections").await);
    assert_eq!(third.read(&mut [0]).await.unwrap(), 0);

    // A released permit is available to the next client.
    held.remove(0);
    server.ends.of(1).await;
    let mut fourth = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut fourth, "hello").await);
}

#[tokio::test(start_paused = true)]
async fn all_clients_have_a_limit_in_which_each_has_its_own() {
    let all = Limit::new(3);
    let limit = PerClient::within(&all, 2).wait(1, SECOND);
    let (server, clients) = start!(PerClientLayer::new(limit.clone()));
    let mut held = Vec::new();
    for ip in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        held.push(client(&clients, ip).await);
        assert!(echoes(held.last_mut().unwrap(), "hello").await);
    }
    // One waits for another connection of the client, and one for a place among all.
    let mut own = client(&clients, "192.0.2.1").await;
    let mut other = client(&clients, "192.0.2.3").await;
    drop(held.remove(2));
    assert!(echoes(&mut other, "hello").await);
    drop(held.remove(0));
    assert!(echoes(&mut own, "hello").await);
    let mut late = client(&clients, "192.0.2.4").await;
    assert_eq!(late.read(&mut [0]).await.unwrap(), 0);
    assert!(is_refused(&server, 6, "client connections").await);
    drop((held, own, other));
    until("all have left", || all.taken() == 0).await;
    assert_eq!(limit.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_connections_is_forgotten() {
    let limit = PerClient::new(2);
    let (server, clients) = start!(PerClientLayer::new(limit.clone()));
    for n in 0..1000_u64 {
        let mut each = client(&clients, &format!("10.0.{}.{}", n / 250, n % 250)).await;
        assert!(echoes(&mut each, "hello").await);
        drop(each);
        server.ends.of(n + 1).await;
    }
    assert_eq!(limit.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_network_is_one_client() {
    let (server, clients) = start!(PerClientLayer::new(PerClient::new(1)));
    let mut first = client(&clients, "2001:db8:1:2::1").await;
    assert!(echoes(&mut first, "hello").await);
    let _second = client(&clients, "2001:db8:1:2:ffff::1").await;
    assert!(is_refused(&server, 2, "client connections").await);

    let (_server, clients) = start!(PerClientLayer::new(PerClient::new(1).prefixes(32, 128)));
    let mut first = client(&clients, "2001:db8:1:2::1").await;
    let mut second = client(&clients, "2001:db8:1:2:ffff::1").await;
    assert!(echoes(&mut first, "hello").await && echoes(&mut second, "hello").await);
}

#[tokio::test(start_paused = true)]
async fn local_clients_are_not_limited() {
    let (_server, clients) = start!(PerClientLayer::new(PerClient::new(0)));
    let mut local = clients.connect_from(Addr::Unix(None)).await.unwrap();
    assert!(echoes(&mut local, "hello").await);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_client_changes_while_it_holds() {
    let limit = PerClient::new(1);
    let (server, clients) = start!(PerClientLayer::new(limit.clone()));
    let mut first = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut first, "hello").await);
    limit.set_max(2);
    let mut second = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut second, "hello").await);
    limit.set_max(1);
    assert!(echoes(&mut first, "still here").await);
    drop(first);
    server.ends.of(1).await;
    let _third = client(&clients, "192.0.2.1").await;
    assert!(is_refused(&server, 3, "client connections").await);
}

#[tokio::test(start_paused = true)]
async fn waiting_clients_are_served_when_a_place_is_free_and_refused_when_none_is() {
    let limit = PerClient::new(1).wait(1, 5 * SECOND);
    let (server, clients) = start!(PerClientLayer::new(limit.clone()));
    let mut first = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut first, "hello").await);
    let mut second = client(&clients, "192.0.2.1").await;
    // In the meantime, other clients are not delayed.
    let mut other = client(&clients, "192.0.2.2").await;
    assert!(echoes(&mut other, "hello").await);
    sleep(4 * SECOND).await;
    drop(first);
    assert!(echoes(&mut second, "hello").await);

    let began = Instant::now();
    let _third = client(&clients, "192.0.2.1").await;
    assert!(is_refused(&server, 4, "client connections").await);
    assert_eq!(began.elapsed().as_secs(), 5);
    drop((second, other));
    server.ends.of(2).await;
    server.ends.of(3).await;
    assert_eq!(limit.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_connections_wait_leaves_places_to_others() {
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let limit = PerClient::new(1).wait(2, 9 * SECOND);
    let server = Server::new(listener)
        .observe(ends.clone())
        .max_connections(10)
        .layer(PerClientLayer::new(limit.clone()));
    let server = server.start(handle(echo)).await.unwrap();
    let server = Served { server, ends };
    let began = Instant::now();
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(client(&clients, "192.0.2.1").await);
    }
    let mut other = client(&clients, "192.0.2.2").await;
    assert!(echoes(&mut other, "hello").await);
    assert_eq!(began.elapsed().as_secs(), 0);
    // One is being served, two wait, and the others were refused at once.
    assert_eq!(server.stats().rejected, 17);
    // A waiting client that is served makes room in the line for another.
    drop(held.remove(0));
    server.ends.of(1).await;
    assert!(echoes(&mut held[0], "hello").await);
    held.push(client(&clients, "192.0.2.1").await);
    sleep(SECOND).await;
    assert_eq!(
        (server.stats().rejected, server.connection_count()),
        (17, 4)
    );
    drop(held);
    drop(other);
    while server.connection_count() > 0 {
        sleep(SECOND).await;
    }
    assert_eq!(limit.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn connections_that_wait_do_not_hold_up_a_drain() {
    let (server, clients) = start!(PerClientLayer::new(
        PerClient::new(1).wait(5, 3600 * SECOND)
    ));
    let mut first = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut first, "hello").await);
    let mut second = client(&clients, "192.0.2.1").await;
    while server.connection_count() < 2 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let (_, read) = tokio::join!(server.drain(60 * SECOND), async {
        let read = second.read(&mut [0]).await;
        assert!(began.elapsed() <= SECOND, "{:?}", began.elapsed());
        read
    });
    assert_eq!(read.unwrap(), 0);
    assert!(matches!(server.ends.of(2).await, Outcome::Drained));
}

#[tokio::test(start_paused = true)]
async fn servers_can_share_the_limit_of_a_client() {
    let limit = PerClient::new(1);
    let (_one, clients_of_one) = start!(PerClientLayer::new(limit.clone()));
    let (two, clients_of_two) = start!(PerClientLayer::new(limit));
    let mut first = client(&clients_of_one, "192.0.2.1").await;
    assert!(echoes(&mut first, "hello").await);
    let _second = client(&clients_of_two, "192.0.2.1").await;
    assert!(is_refused(&two, 1, "client connections").await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_too_fast_is_refused_until_it_slows_down() {
    let layer = PerClientRateLayer::new(PerClientRate::new(1.0, 3.0));
    let (server, clients) = start!(layer);
    for _ in 0..3 {
        let mut each = client(&clients, "192.0.2.1").await;
        assert!(echoes(&mut each, "hello").await);
    }
    let _fourth = client(&clients, "192.0.2.1").await;
    assert!(is_refused(&server, 4, "client rate").await);
    let mut other = client(&clients, "192.0.2.2").await;
    assert!(echoes(&mut other, "hello").await);
    sleep(SECOND).await;
    let mut fifth = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut fifth, "hello").await);
}

#[tokio::test(start_paused = true)]
async fn of_millions_of_clients_only_a_limited_number_is_remembered() {
    let rate = PerClientRate::new(1.0, 1.0).capacity(100);
    let (server, clients) = start!(PerClientRateLayer::new(rate.clone()));
    let mut id = 0;
    for n in 0..200 {
        let mut each = client(&clients, &format!("10.0.{}.{}", n / 250, n % 250)).await;
        // Clients beyond the capacity share one entry.
        let is_served = echoes(&mut each, "hello").await;
        assert_eq!(is_served, n <= 100, "{n}");
        assert!(rate.clients() <= 100);
        id += 1;
    }
    // Remembered clients are not evicted for them.
    let _known = client(&clients, "10.0.0.0").await;
    assert!(is_refused(&server, id + 1, "client rate").await);
    // Clients that have been away for so long that it makes no difference are evicted.
    sleep(10 * SECOND).await;
    for n in 0..50 {
        let mut each = client(&clients, &format!("192.0.2.{n}")).await;
        assert!(echoes(&mut each, "hello").await);
    }
    assert_eq!(rate.clients(), 50);
}

#[tokio::test(start_paused = true)]
async fn over_the_accept_rate_clients_wait_in_the_queue() {
    let (server, clients) = start!(AcceptRateLayer::new(AcceptRate::new(2.0, 4.0)));
    let began = Instant::now();
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(client(&clients, "192.0.2.1").await);
    }
    for each in &mut held {
        assert!(echoes(each, "hello").await);
    }
    // Four at once, and six more at two per second.
    assert!((3000..3020).contains(&began.elapsed().as_millis()));
    assert_eq!(server.stats().rejected, 0);
    assert_eq!(clients.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_for_a_client_that_was_not_there_is_given_back() {
    let (server, clients) = start!(AcceptRateLayer::new(AcceptRate::new(0.001, 3.0)));
    // Each of them leaves an empty queue, and checking that costs no token.
    for _ in 0..3 {
        let mut each = client(&clients, "192.0.2.1").await;
        assert!(timeout(SECOND, echoes(&mut each, "hello")).await.unwrap());
    }
    let _fourth = client(&clients, "192.0.2.1").await;
    sleep(60 * SECOND).await;
    assert_eq!((server.stats().accepted, clients.waiting()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn several_acceptors_have_one_accept_rate() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .acceptors(4)
        .layer(AcceptRateLayer::new(AcceptRate::new(1.0, 1.0)))
        .start(handle(echo))
        .await
        .unwrap();
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(client(&clients, "192.0.2.1").await);
    }
    sleep(10 * SECOND + SECOND / 2).await;
    assert_eq!(server.stats().accepted, 11);
}

#[tokio::test(start_paused = true)]
async fn a_changed_accept_rate_is_seen_by_waiting_clients() {
    let rate = AcceptRate::new(0.0, 1.0);
    let (server, clients) = start!(AcceptRateLayer::new(rate.clone()));
    let mut first = client(&clients, "192.0.2.1").await;
    let mut second = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut first, "hello").await);
    sleep(3600 * SECOND).await;
    assert_eq!(server.stats().accepted, 1);
    rate.set(10.0, 1.0);
    assert!(
        timeout(2 * SECOND, echoes(&mut second, "hello"))
            .await
            .unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn an_accept_rate_can_refuse_instead() {
    let layer = AcceptRateLayer::new(AcceptRate::new(1.0, 1.0)).shed(Refusal::message("busy\n"));
    let (server, clients) = start!(layer);
    let mut first = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut first, "hello").await);
    let mut second = client(&clients, "192.0.2.1").await;
    assert!(is_refused(&server, 2, "accept rate").await);
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "busy\n");
}

#[tokio::test(start_paused = true)]
async fn handlers_in_flight_leave_clients_in_the_queue_until_the_limit_is_raised() {
    let limit = Limit::new(2);
    let (server, clients) = start!(InFlightLayer::new(limit.clone()));
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(client(&clients, "192.0.2.1").await);
    }
    assert!(echoes(&mut held[1], "hello").await);
    sleep(SECOND).await;
    assert_eq!((server.connection_count(), clients.waiting()), (2, 3));
    limit.set_max(4);
    assert!(echoes(&mut held[3], "hello").await);
    sleep(SECOND).await;
    assert_eq!((server.connection_count(), clients.waiting()), (4, 1));
    held.truncate(0);
    assert!(
        timeout(LONG, async {
            while limit.taken() > 0 {
                sleep(SECOND / 10).await;
            }
        })
        .await
        .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_acceptor_has_no_place_in_flight() {
    let limit = Limit::new(1);
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener)
        .acceptors(4)
        .observe(ends.clone())
        .layer(InFlightLayer::new(limit.clone()))
        .start(handle(echo))
        .await
        .unwrap();
    let server = Served { server, ends };
    for id in 1..=20 {
        let mut each = client(&clients, "192.0.2.1").await;
        assert!(echoes(&mut each, "hello").await);
        drop(each);
        server.ends.of(id).await;
    }
    sleep(SECOND).await;
    assert_eq!(limit.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn handlers_in_flight_can_be_refused_instead() {
    let (server, clients) = start!(InFlightLayer::new(Limit::new(1)).shed(Refusal::Close));
    let mut first = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut first, "hello").await);
    let _second = client(&clients, "192.0.2.1").await;
    assert!(is_refused(&server, 2, "in flight").await);
    drop(first);
    server.ends.of(1).await;
    let mut third = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut third, "hello").await);
}
