//! `TopClients`: each connection counts once, for its client. The bounds of the counts are tested
//! where they are computed.

use crate::support::{LONG, echoes, until};
use reagent::{
    Addr, Connection, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    access::{Access, AccessLayer, Rules},
    proxy_protocol::{Header, ProxyProtocolLayer},
    top::{TopBy, TopClient, TopClients},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinSet,
    time::advance,
};

async fn start(top: &TopClients) -> (ServerHandle, Clients) {
    let (listener, clients) = MemoryListener::new();
    let rules = Rules::new().deny_all(["198.51.100.0/24"]).unwrap();
    let server = Server::new(listener)
        .observe(top.clone())
        .layer(AccessLayer::new(Access::new(rules)))
        .start(handle(crate::support::echo));
    (server.await.unwrap(), clients)
}

async fn connect(clients: &Clients, ip: &str) -> DuplexStream {
    let addr = SocketAddr::new(ip.parse().unwrap(), 4000);
    clients.connect_from(addr).await.unwrap()
}

/// Returns clients and counts, which must be exact.
fn exact(top: Vec<TopClient>) -> Vec<(String, u64)> {
    assert!(top.iter().all(|top| top.error == 0), "{top:?}");
    top.iter()
        .map(|top| (top.client.to_string(), top.count))
        .collect()
}

fn expected(counts: &[(&str, u64)]) -> Vec<(String, u64)> {
    counts
        .iter()
        .map(|(client, count)| ((*client).into(), *count))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn connections_bytes_and_refusals_count_for_their_clients() {
    let top = TopClients::new();
    let (server, clients) = start(&top).await;
    for (client, times) in [
        ("192.0.2.1", 3),
        ("192.0.2.2", 1),
        ("2001:db8:1:2::7", 2),
        ("2001:db8:1:2::8", 2),
    ] {
        for _ in 0..times {
            let mut client = connect(&clients, client).await;
            assert!(echoes(&mut client, "hello").await);
        }
    }
    for _ in 0..5 {
        let mut refused = connect(&clients, "198.51.100.1").await;
        assert_eq!(refused.read(&mut [0]).await.unwrap(), 0);
    }
    let mut local = clients.connect_from(Addr::Unix(None)).await.unwrap();
    assert!(echoes(&mut local, "hello").await);
    drop(local);
    until("ended", || server.connection_count() == 0).await;
    let all = [
        ("198.51.100.1", 5),
        ("2001:db8:1:2::", 4),
        ("192.0.2.1", 3),
        ("192.0.2.2", 1),
    ];
    assert_eq!(exact(top.by_connections(10)), expected(&all));
    assert_eq!(exact(top.by_connections(2)), expected(&all[..2]));
    let bytes = [("2001:db8:1:2::", 40), ("192.0.2.1", 30), ("192.0.2.2", 10)];
    assert_eq!(exact(top.by_bytes(10)), expected(&bytes));
    assert_eq!(exact(top.by_refusals(10)), expected(&[("198.51.100.1", 5)]));
    assert_eq!(top.by(TopBy::Bytes, 3), top.by_bytes(3));
}

#[tokio::test(start_paused = true)]
async fn open_connections_are_counted_on_request_and_once() {
    let top = TopClients::new();
    let (server, clients) = start(&top).await;
    let mut client = connect(&clients, "192.0.2.1").await;
    assert!(echoes(&mut client, "hello").await);
    assert!(top.by_connections(10).is_empty());
    for bytes in [10, 20, 30] {
        for _ in 0..3 {
            top.refresh(&server);
            assert_eq!(exact(top.by_connections(10)), expected(&[("192.0.2.1", 1)]));
            assert_eq!(exact(top.by_bytes(10)), expected(&[("192.0.2.1", bytes)]));
        }
        assert!(echoes(&mut client, "hello").await);
    }
    drop(client);
    until("ended", || server.connection_count() == 0).await;
    top.refresh(&server);
    assert_eq!(exact(top.by_connections(10)), expected(&[("192.0.2.1", 1)]));
    assert_eq!(exact(top.by_bytes(10)), expected(&[("192.0.2.1", 40)]));
}

#[tokio::test(start_paused = true)]
async fn counts_are_halved_in_time() {
    let top = TopClients::new().half_life(Duration::from_secs(60));
    let (server, clients) = start(&top).await;
    let come = async |ip: &str, times: usize| {
        for _ in 0..times {
            drop(connect(&clients, ip).await);
        }
        until("ended", || server.connection_count() == 0).await;
    };
    let ended = server.stats().completed;
    come("192.0.2.1", 8).await;
    until("counted", || server.stats().completed == ended + 8).await;
    advance(Duration::from_secs(59)).await;
    assert_eq!(exact(top.by_connections(10)), expected(&[("192.0.2.1", 8)]));
    // Whenever they are read.
    advance(Duration::from_secs(31)).await;
    assert_eq!(exact(top.by_connections(10)), expected(&[("192.0.2.1", 4)]));
    advance(Duration::from_secs(30)).await;
    assert_eq!(exact(top.by_connections(10)), expected(&[("192.0.2.1", 2)]));
    advance(Duration::from_secs(59)).await;
    come("192.0.2.2", 3).await;
    until("counted", || server.stats().completed == ended + 11).await;
    let both = expected(&[("192.0.2.2", 3), ("192.0.2.1", 2)]);
    assert_eq!(exact(top.by_connections(10)), both);
    advance(Duration::from_secs(1 << 40)).await;
    assert!(top.by_connections(10).is_empty());
}

#[tokio::test(start_paused = true)]
async fn behind_a_proxy_the_client_counts() {
    let top = TopClients::new().prefixes(24, 48);
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(top.clone())
        .layer(ProxyProtocolLayer::new(["10.0.0.0/8".parse().unwrap()]))
        .start(handle(|_: Connection<_>| async { std::io::Result::Ok(()) }));
    let server = server.await.unwrap();
    for client in ["192.0.2.1:1", "192.0.2.2:1"] {
        let header = Header::v1(client.parse().unwrap(), "10.0.0.7:2".parse().unwrap());
        let mut proxy = connect(&clients, "10.0.0.7").await;
        proxy.write_all(&header.encode().unwrap()).await.unwrap();
        assert_eq!(proxy.read(&mut [0]).await.unwrap(), 0);
    }
    until("ended", || server.connection_count() == 0).await;
    assert_eq!(exact(top.by_connections(10)), expected(&[("192.0.2.0", 2)]));
}

/// Connections end on four threads while another counts the open ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_connection_is_counted_twice_or_forgotten() {
    let top = TopClients::new();
    let (server, clients) = start(&top).await;
    let mut counting = JoinSet::new();
    counting.spawn({
        let (top, server) = (top.clone(), server.clone());
        async move {
            loop {
                top.refresh(&server);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let clients = clients.clone();
        tasks.spawn(async move {
            for _ in 0..250 {
                let mut client = connect(&clients, "192.0.2.1").await;
                assert!(echoes(&mut client, "hello").await);
            }
        });
    }
    tokio::time::timeout(LONG, tasks.join_all()).await.unwrap();
    until("ended", || server.connection_count() == 0).await;
    counting.shutdown().await;
    assert_eq!(
        exact(top.by_connections(10)),
        expected(&[("192.0.2.1", 1000)])
    );
    assert_eq!(exact(top.by_bytes(10)), expected(&[("192.0.2.1", 10_000)]));
}
