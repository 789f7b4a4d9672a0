//! The same server code with a clock that is controlled by the test.

use crate::support::{beside, echo, echoes, memory_server, rest, settled, soon};
use reagent::{Addr, Connection, Server, handle, testing::MemoryListener};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

/// The capacity of the queue of a [`MemoryListener`].
const BACKLOG: usize = 128;

#[tokio::test(start_paused = true)]
async fn a_day_takes_no_time() {
    let (server, clients, mut accepted) = memory_server();
    let slow = |mut conn: Connection| async move {
        tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
        conn.write_all(b"at last").await
    };
    let _server = server.start(handle(slow)).await.unwrap();
    let began = Instant::now();
    let mut client = clients.connect().await.unwrap();
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    assert_eq!(told, b"at last");
    assert!(began.elapsed() >= Duration::from_secs(24 * 60 * 60));
    assert_eq!(accepted.outcome().await.to_string(), "completed");
}

#[tokio::test(start_paused = true)]
async fn many_clients_are_served_at_once() {
    for acceptors in [1, 4] {
        let (server, clients, _accepted) = memory_server();
        let server = server
            .acceptors(acceptors)
            .start(handle(echo))
            .await
            .unwrap();
        let all: Vec<_> = (0..500)
            .map(|number| {
                let clients = clients.clone();
                beside(async move {
                    let mut client = clients.connect().await.unwrap();
                    assert!(echoes(&mut client, &format!("number {number}")).await);
                    client
                })
            })
            .collect();
        let mut open = Vec::new();
        for client in all {
            open.push(client.await.unwrap());
        }
        assert_eq!(
            (server.connection_count(), server.stats().acceptors),
            (500, acceptors)
        );
        drop(open);
        settled().await;
        let stats = server.stats();
        assert_eq!((stats.open, stats.accepted, stats.completed), (0, 500, 500));
    }
}

#[tokio::test(start_paused = true)]
async fn clients_wait_for_room_in_a_full_queue() {
    let (server, clients, _accepted) = memory_server();
    let server = server.acceptors(0).start(handle(echo)).await.unwrap();
    let mut queued = Vec::new();
    for _ in 0..BACKLOG {
        queued.push(clients.connect().await.unwrap());
    }
    let late = beside({
        let clients = clients.clone();
        async move { clients.connect().await }
    });
    settled().await;
    assert!(!late.is_finished());
    assert_eq!(clients.waiting(), BACKLOG);
    server.set_acceptors(1);
    let mut late = soon(late).await.unwrap().unwrap();
    assert!(echoes(&mut late, "in the end").await);
    assert_eq!(clients.waiting(), 0);
    assert!(echoes(&mut queued[0], "first of all").await);
}

#[tokio::test(start_paused = true)]
async fn new_and_waiting_clients_are_refused_after_the_end() {
    let (server, clients, _accepted) = memory_server();
    let server = server.max_connections(0).start(handle(echo)).await.unwrap();
    let mut queued = Vec::new();
    for _ in 0..BACKLOG {
        queued.push(clients.connect().await.unwrap());
    }
    let late = beside({
        let clients = clients.clone();
        async move { clients.connect().await }
    });
    settled().await;
    server.drain(Duration::from_secs(1)).await;
    let refused = [soon(late).await.unwrap(), clients.connect().await];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
    assert_eq!(rest(&mut queued[0]).await.unwrap(), b"");
    assert_eq!(clients.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_can_come_from_any_address() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let addr: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    let _first = clients.connect_from(addr).await.unwrap();
    let _second = clients
        .connect_from(Addr::Other("nowhere".into()))
        .await
        .unwrap();
    assert_eq!(*accepted.next().await.peer_addr(), addr);
    let second = accepted.next().await;
    assert_eq!(second.peer_addr().to_string(), "nowhere");
    assert_eq!(second.listener_addr(), server.local_addr());
}

#[tokio::test(start_paused = true)]
async fn a_server_can_listen_on_several_queues() {
    let (first, to_first) = MemoryListener::new();
    let (second, to_second) = MemoryListener::new();
    let server = Server::new(first)
        .listen(second)
        .start(handle(echo))
        .await
        .unwrap();
    let addrs: Vec<_> = server.local_addrs().collect();
    assert_ne!(addrs[0], addrs[1]);
    for clients in [&to_first, &to_second] {
        assert!(echoes(&mut clients.connect().await.unwrap(), "here too").await);
    }
    server.drain(Duration::from_secs(1)).await;
    assert!(to_first.connect().await.is_err() && to_second.connect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn clients_are_accepted_in_the_order_they_came() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.acceptors(0).start(handle(echo)).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(clients.connect().await.unwrap());
    }
    server.set_acceptors(1);
    for number in 1..=20 {
        assert_eq!(
            accepted.next().await.peer_addr().to_string(),
            format!("client:{number}")
        );
    }
}
