//! `AccessLayer` with `Apply::Existing`: changes end open connections, and none is missed.

use crate::support::{Ends, LONG, echo, echoes, until};
use reagent::{
    Addr, Carried, Connection, Outcome, Server, ServerHandle,
    event::Event,
    handle, observer_fn,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    Apply, Refusal,
    access::{Access, AccessLayer, Bans, Rules},
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, DuplexStream},
    time::timeout,
};

const HOUR: Duration = Duration::from_secs(3600);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn existing(rules: Rules) -> Access {
    Access::new(rules).apply(Apply::Existing)
}

fn deny(net: &str) -> Rules {
    Rules::new().deny_all([net]).unwrap()
}

async fn start(access: &Access) -> (ServerHandle, Clients, Ends) {
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener)
        .observe(ends.clone())
        .layer(AccessLayer::new(access.clone()))
        .start(handle(echo));
    (server.await.unwrap(), clients, ends)
}

async fn client(clients: &Clients, text: &str) -> DuplexStream {
    let addr = SocketAddr::new(ip(text), 4000);
    let mut client = clients.connect_from(addr).await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    client
}

/// Checks that a connection was ended by a change.
async fn is_revoked(ends: &Ends, id: u64) -> bool {
    matches!(ends.of(id).await, Outcome::Rejected(it) if it.reason() == "access revoked")
}

#[tokio::test(start_paused = true)]
async fn a_ban_ends_the_open_connections_of_its_client() {
    let access = existing(Rules::new());
    let (server, clients, ends) = start(&access).await;
    let mut banned = [
        client(&clients, "2001:db8:1:2::1").await,
        client(&clients, "2001:db8:1:2::9").await,
    ];
    let mut others = [
        client(&clients, "2001:db8:1:3::1").await,
        client(&clients, "192.0.2.1").await,
    ];
    access.bans().ban(ip("2001:db8:1:2::1"), HOUR);
    for (id, client) in (1..).zip(&mut banned) {
        assert!(is_revoked(&ends, id).await);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
    for client in &mut others {
        assert!(echoes(client, "still here").await);
    }
    assert_eq!((server.connection_count(), server.stats().rejected), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn changed_rules_end_the_open_connections_that_they_do_not_admit() {
    let access = existing(Rules::new());
    let (server, clients, ends) = start(&access).await;
    let _denied = client(&clients, "192.0.2.1").await;
    let mut other = client(&clients, "198.51.100.1").await;
    let mut local = clients.connect_from(Addr::Unix(None)).await.unwrap();
    assert!(echoes(&mut local, "hello").await);
    access.set(deny("192.0.2.0/24"));
    assert!(is_revoked(&ends, 1).await);
    assert!(echoes(&mut other, "still here").await);
    // A check applies to all clients.
    access.set(Rules::new().check(|connection| connection.peer_addr().ip().is_some()));
    assert!(is_revoked(&ends, 3).await);
    assert!(echoes(&mut other, "still here").await);
    access.set(Rules::new().check(|_| panic!("of the check")));
    assert!(matches!(ends.of(2).await, Outcome::Aborted));
    assert_eq!(server.connection_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn by_default_open_connections_stay() {
    let access = Access::new(Rules::new());
    let (_server, clients, _) = start(&access).await;
    let mut client = client(&clients, "192.0.2.1").await;
    access.set(deny("192.0.2.1"));
    access.bans().ban(ip("192.0.2.1"), HOUR);
    assert!(echoes(&mut client, "still here").await);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_several_layers_ends_connections_of_each() {
    let bans = Bans::new().prefixes(24, 64);
    let one = existing(Rules::new()).with_bans(bans.clone());
    let two = existing(Rules::new()).with_bans(bans.clone());
    let other = Access::new(Rules::new()).with_bans(bans.clone());
    let mut servers = Vec::new();
    for access in [&one, &two, &other] {
        let (server, clients, ends) = start(access).await;
        let client = client(&clients, "192.0.2.1").await;
        servers.push((server, clients, ends, client));
    }
    bans.ban(ip("192.0.2.200"), HOUR);
    assert!(is_revoked(&servers[0].2, 1).await && is_revoked(&servers[1].2, 1).await);
    assert!(echoes(&mut servers[2].3, "still here").await);

    // A list that is restored applies as well.
    bans.unban(ip("192.0.2.1"));
    let _client = client(&servers[0].1, "192.0.2.1").await;
    let saved = Bans::new().prefixes(24, 64);
    saved.ban(ip("192.0.2.1"), HOUR);
    bans.restore(&saved.save()).unwrap();
    assert!(is_revoked(&servers[0].2, 2).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_left_its_handler_is_ended_too() {
    let access = existing(Rules::new());
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let (failed, mut failure) = tokio::sync::mpsc::channel(1);
    let server = Server::new(listener)
        .observe(ends.clone())
        .layer(AccessLayer::new(access.clone()))
        .start(handle(move |mut conn: Connection| {
            let failed = failed.clone();
            async move {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a stream that leaves its handler"
                )]
                tokio::spawn(async move {
                    let read = conn.read_u8().await.map_err(|error| error.kind());
                    let _ = failed.send(read).await;
                });
                io::Result::Ok(())
            }
        }))
        .await
        .unwrap();
    let addr = SocketAddr::new(ip("192.0.2.1"), 4000);
    let _client = clients.connect_from(addr).await.unwrap();
    let detached = || {
        server
            .connection(1)
            .is_some_and(|it| it.outcome().is_some())
    };
    until("the handler has ended", detached).await;
    access.set(deny("192.0.2.1"));
    let read = timeout(LONG, failure.recv()).await.unwrap();
    assert_eq!(read, Some(Err(io::ErrorKind::ConnectionAborted)));
    assert!(is_revoked(&ends, 1).await);
}

#[tokio::test]
async fn a_refusal_by_reset_resets_open_connections() {
    let access = existing(Rules::new()).refusal(Refusal::Reset);
    let server = Server::bind("127.0.0.1:0")
        .layer(AccessLayer::new(access.clone()))
        .start(handle(echo))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    access.bans().ban(addr.ip(), HOUR);
    let error = timeout(LONG, client.read(&mut [0]))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_spares_an_open_connection_once() {
    let spared = Arc::new(AtomicUsize::new(0));
    let count = spared.clone();
    let access = existing(Rules::new()).dry_run(true);
    let (listener, clients) = MemoryListener::new();
    let _server = Server::new(listener)
        .observe(observer_fn(move |event| {
            if let Event::ConnectionSpared(event) = event {
                assert_eq!((event.layer, event.reason), ("access", "access revoked"));
                count.fetch_add(1, SeqCst);
            }
        }))
        .layer(AccessLayer::new(access.clone()))
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = client(&clients, "192.0.2.1").await;
    for _ in 0..3 {
        access.set(deny("192.0.2.1"));
        access.bans().ban(ip("192.0.2.1"), HOUR);
        assert!(echoes(&mut client, "still here").await);
    }
    assert_eq!(spared.load(SeqCst), 1);
}

/// The change comes at the worst moment: when the connection has just been admitted by the old
/// rules.
#[tokio::test(start_paused = true)]
async fn a_change_during_the_check_is_not_missed() {
    let access = existing(Rules::new());
    let changed = access.clone();
    access.set(Rules::new().check(move |_| {
        changed.set(deny("192.0.2.1"));
        true
    }));
    let (_server, clients, ends) = start(&access).await;
    let addr = SocketAddr::new(ip("192.0.2.1"), 4000);
    let mut client = clients.connect_from(addr).await.unwrap();
    assert!(is_revoked(&ends, 1).await);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_ban_is_missed_by_clients_that_connect_at_that_moment() {
    let access = existing(Rules::new());
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .acceptors(4)
        .layer(AccessLayer::new(access.clone()))
        .start(handle(echo))
        .await
        .unwrap();
    let mut rounds = tokio::task::JoinSet::new();
    for round in 0..300_u32 {
        let client = IpAddr::V4((0x0a00_0000 + round).into());
        for n in 0..5 {
            let clients = clients.clone();
            rounds.spawn(async move {
                let addr = SocketAddr::new(client, 4000 + n);
                let mut stream = clients.connect_from(addr).await.unwrap();
                // Ends only if the connection is refused or revoked.
                let end = timeout(LONG, stream.read(&mut [0])).await;
                assert!(
                    matches!(end, Ok(Ok(0) | Err(_))),
                    "a ban of {client} was missed"
                );
            });
        }
        let bans = access.bans().clone();
        rounds.spawn_blocking(move || bans.ban(client, HOUR));
    }
    while let Some(round) = rounds.join_next().await {
        round.unwrap();
    }
    until("all have ended", || server.connection_count() == 0).await;
    assert_eq!(server.stats().rejected, 1500);
}
