//! Failures are contained: connections and acceptors outlive the failures of others.

use crate::support::{
    Dice, LONG, Log, Moody, connect, echo, echoes, keep_sockets, rest, settle, until,
};
use reagent::{
    Acceptor, Connection, ConnectionHandle, DrainReport, Observer, Outcome, Server, ServerHandle,
    ServerStatus, event, handle,
    testing::{Clients, FlakyListener, MemoryListener},
};
use std::{
    io, net::Shutdown, panic::resume_unwind, sync::atomic::Ordering::SeqCst, time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinSet,
};

/// Echoes, and panics at an exclamation mark.
async fn excitable(mut conn: Connection) -> io::Result<()> {
    loop {
        match conn.read_u8().await {
            // A panic without a message on standard error.
            Ok(b'!') => resume_unwind(Box::new(format!("number {} shouted", conn.id()))),
            Ok(byte) => conn.write_u8(byte).await?,
            Err(_) => return Ok(()),
        }
    }
}

async fn served(clients: &Clients, count: usize) -> Vec<DuplexStream> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = clients.connect().await.unwrap();
        assert!(echoes(&mut client, "hello").await);
        open.push(client);
    }
    open
}

async fn all_echo(open: &mut [DuplexStream]) {
    for client in open {
        assert!(echoes(client, "still here").await);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_survive_a_pause() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .acceptors(3)
        .start(handle(echo))
        .await
        .unwrap();
    let mut open = served(&clients, 10).await;
    for _ in 0..3 {
        server.pause();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        all_echo(&mut open).await;
        server.resume();
        settle().await;
        all_echo(&mut open).await;
    }
    assert_eq!(
        (server.connection_count(), server.stats().accepted),
        (10, 10)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_survive_a_pool_that_shrinks_while_it_is_busy() {
    for reuse_port in [false, true] {
        let server = Server::bind("127.0.0.1:0")
            .options(|options| options.reuse_port = reuse_port)
            .acceptors(10)
            .start(handle(echo))
            .await
            .unwrap();
        let mut busy = JoinSet::new();
        for _ in 0..30 {
            let server = server.clone();
            busy.spawn(async move {
                let mut kept = connect(&server).await;
                for _ in 0..20 {
                    assert!(echoes(&mut connect(&server).await, "briefly").await);
                    assert!(echoes(&mut kept, "still here").await);
                }
            });
        }
        for count in [1, 10, 2, 7, 1] {
            server.set_acceptors(count);
            until("the acceptors are started", || {
                server.stats().acceptors == count
            })
            .await;
        }
        busy.join_all().await;
        assert_eq!(server.stats().accepted, 30 * 21);
        until("all have left", || server.connection_count() == 0).await;
        assert_eq!(server.stats().completed, 30 * 21);
    }
}

#[tokio::test]
async fn connections_survive_the_loss_of_their_listening_socket() {
    let mut sockets = None;
    let log = Log::default();
    let server = Server::bind("127.0.0.1:0")
        .options(|options| sockets = Some(keep_sockets(options)))
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut client = connect(&server).await;
        assert!(echoes(&mut client, "hello").await);
        open.push(client);
    }
    sockets.unwrap().lock().unwrap()[0]
        .shutdown(Shutdown::Both)
        .unwrap();
    log.wait_for("listener reopened", 1).await;
    for client in &mut open {
        assert!(echoes(client, "still here").await);
    }
    assert_eq!(
        (server.connection_count(), log.count("connection ended")),
        (20, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_own_connection_only() {
    let (listener, clients) = MemoryListener::new();
    let log = Log::default();
    let server = Server::new(listener)
        .observe(log.clone())
        .start(handle(excitable))
        .await
        .unwrap();
    let mut open = served(&clients, 5).await;
    let third = server.connection(3).unwrap();
    open[2].write_all(b"!").await.unwrap();
    assert_eq!(rest(&mut open.remove(2)).await.unwrap(), b"");
    let outcome = third.closed().await;
    assert!(matches!(&outcome, Outcome::Panicked(message) if &**message == "number 3 shouted"));
    assert_eq!(outcome.to_string(), "panicked: number 3 shouted");
    all_echo(&mut open).await;
    served(&clients, 1).await;
    assert_eq!(
        log.count("connection ended: 3: panicked: number 3 shouted"),
        1
    );
    assert_eq!(log.count("acceptor failed"), 0);
    settle().await;
    assert_eq!((server.stats().panicked, server.connection_count()), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_future_ends_its_own_connection_only() {
    let (listener, clients) = MemoryListener::new();
    let log = Log::default();
    let server = Server::new(listener)
        .observe(log.clone())
        .start(handle(|conn: Connection| {
            assert_ne!(conn.id(), 2, "not the second");
            echo(conn)
        }))
        .await
        .unwrap();
    let mut open = served(&clients, 1).await;
    let mut second = clients.connect().await.unwrap();
    assert_eq!(rest(&mut second).await.unwrap(), b"");
    all_echo(&mut open).await;
    let _third = served(&clients, 1).await;
    assert_eq!(log.count("connection ended: 2: panicked"), 1);
    assert_eq!((server.connection_count(), server.stats().panicked), (2, 1));
    assert_eq!(server.stats().acceptors, 1);
}

#[tokio::test(start_paused = true)]
async fn panics_in_a_row_leave_an_acceptor_that_serves() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .max_connections(1)
        .start(handle(|conn: Connection| {
            assert!(conn.id() > 6, "too early");
            echo(conn)
        }))
        .await
        .unwrap();
    for _ in 0..6 {
        assert_eq!(
            rest(&mut clients.connect().await.unwrap()).await.unwrap(),
            b""
        );
    }
    served(&clients, 1).await;
    assert_eq!((server.stats().panicked, server.stats().acceptors), (6, 1));
}

/// Panics on drop.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_drop_leaves_no_connection_behind() {
    let (listener, clients) = MemoryListener::new();
    let log = Log::default();
    let server = Server::new(listener)
        .max_connections(2)
        .observe(log.clone())
        .start(handle(|conn: Connection| async move {
            let _grudge = Grudge;
            echo(conn).await
        }))
        .await
        .unwrap();
    let mut open = served(&clients, 2).await;
    drop(open.pop());
    server.connection(1).unwrap().abort();
    assert_eq!(rest(&mut open[0]).await.unwrap(), b"");
    settle().await;
    assert_eq!(
        (server.connection_count(), server.connections().len()),
        (0, 0)
    );
    assert_eq!(log.count("connection ended: 1: aborted"), 1);
    assert_eq!(log.count("connection ended: 2: panicked: dropped"), 1);
    // Their permits have been released.
    served(&clients, 2).await;
}

#[tokio::test(start_paused = true)]
async fn connections_survive_the_failure_of_an_acceptor() {
    let (listener, clients) = MemoryListener::new();
    let log = Log::default();
    let (service, failures) = Moody::new(handle(echo));
    let server = Server::new(listener)
        .observe(log.clone())
        .start(service)
        .await
        .unwrap();
    let mut open = served(&clients, 5).await;
    failures.store(3, SeqCst);
    let mut waiting = clients.connect().await.unwrap();
    settle().await;
    assert_eq!(log.count("acceptor failed: 0: in a bad mood"), 1);
    assert_eq!(server.stats().acceptors, 0);
    all_echo(&mut open).await;
    // A client that arrived in the meantime is not lost either.
    assert!(echoes(&mut waiting, "hello").await);
    assert_eq!(log.count("acceptor failed"), 3);
    assert_eq!(log.count("acceptor started"), 4);
    assert_eq!(log.count("acceptor stopped"), 3);
    assert_eq!(
        (server.stats().acceptors, server.connection_count()),
        (1, 6)
    );
}

/// Panics at every event.
struct Nervous;

impl Observer for Nervous {
    fn listener_started(&self, _: &event::Listening<'_>) {
        panic!("listener started");
    }
    fn listener_lost(&self, _: &event::ListenerLost<'_>) {
        panic!("listener lost");
    }
    fn listener_reopen_failed(&self, _: &event::ListenerReopenFailed<'_>) {
        panic!("listener reopen failed");
    }
    fn listener_reopened(&self, _: &event::Listening<'_>) {
        panic!("listener reopened");
    }
    fn listener_stopped(&self, _: &event::Listening<'_>) {
        panic!("listener stopped");
    }
    fn acceptor_started(&self, _: &Acceptor) {
        panic!("acceptor started");
    }
    fn acceptor_failed(&self, _: &event::AcceptorFailed<'_>) {
        panic!("acceptor failed");
    }
    fn acceptor_stopped(&self, _: &Acceptor) {
        panic!("acceptor stopped");
    }
    fn accept_failed(&self, _: &event::AcceptFailed<'_>) {
        panic!("accept failed");
    }
    fn exhausted(&self, _: &event::Exhausted<'_>) {
        panic!("exhausted");
    }
    fn exhaustion_ended(&self, _: &event::ExhaustionEnded) {
        panic!("exhaustion ended");
    }
    fn limit_reached(&self, _: &Acceptor) {
        panic!("limit reached");
    }
    fn limit_waited(&self, _: &event::LimitWaited<'_>) {
        panic!("limit waited");
    }
    fn connection_started(&self, _: &ConnectionHandle) {
        panic!("connection started");
    }
    fn connection_ended(&self, _: &event::ConnectionEnded<'_>) {
        panic!("connection ended");
    }
    fn drain_started(&self, _: &event::DrainStarted) {
        panic!("drain started");
    }
    fn drain_ended(&self, _: &DrainReport) {
        panic!("drain ended");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_harms_nobody() {
    let (listener, clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let log = Log::default();
    let (service, failures) = Moody::new(handle(excitable));
    let server = Server::new(listener)
        .max_connections(2)
        .observe(Nervous)
        .observe(log.clone())
        .start(service)
        .await
        .unwrap();
    let mut open = served(&clients, 2).await;
    let mut third = clients.connect().await.unwrap();
    settle().await;
    open[0].write_all(b"!").await.unwrap();
    assert!(echoes(&mut third, "hello").await);
    drop((open, third));
    failures.store(1, SeqCst);
    served(&clients, 1).await;
    script.fail_reopens([io::Error::from_raw_os_error(libc::EADDRINUSE)]);
    script.fail_accepts(
        [libc::ECONNABORTED, libc::ENOMEM, libc::EINVAL].map(io::Error::from_raw_os_error),
    );
    served(&clients, 2).await;
    settle().await;
    server.drain(LONG).await;

    // Observers registered after it still receive every event.
    for event in [
        "listener started",
        "listener lost",
        "listener reopen failed",
        "listener reopened",
        "listener stopped",
        "acceptor started",
        "acceptor failed",
        "acceptor stopped",
        "accept failed",
        "exhausted",
        "exhaustion ended",
        "limit reached",
        "limit waited",
        "connection started",
        "connection ended",
        "drain started",
        "drain ended",
    ] {
        assert!(log.count(event) > 0, "{event}");
    }
    let stats = server.stats();
    assert_eq!(
        (stats.accepted, stats.completed, stats.panicked, stats.open),
        (6, 5, 1, 0)
    );
}

/// One client that reconnects again and again, and may be unlucky.
async fn hopeful(server: ServerHandle, clients: Clients, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..10 {
        let mut client = clients.connect().await.unwrap();
        for _ in 0..dice.roll(4) {
            let answer = tokio::time::timeout(LONG / 2, echoes(&mut client, "a")).await;
            if !answer.expect("an answer or the end") {
                break;
            }
        }
        match dice.roll(4) {
            0 => drop(client.write_all(b"!").await),
            1 => server.connections().iter().take(1).for_each(|info| {
                if let Some(handle) = server.connection(info.id) {
                    handle.abort();
                }
            }),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stampede_leaves_a_server_that_works() {
    let (listener, clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let log = Log::default();
    let (service, failures) = Moody::new(handle(excitable));
    let server = Server::new(listener)
        .max_connections(50)
        .acceptors(4)
        .observe(log.clone())
        .start(service)
        .await
        .unwrap();
    let stampede: JoinSet<_> = (1..=100)
        .map(|seed| hopeful(server.clone(), clients.clone(), seed * 0x9E37_79B9))
        .collect();
    let mut dice = Dice(7);
    for round in 0..300 {
        match dice.roll(7) {
            // Acceptors take turns at a queue, so a backlog of errors would be waited out one by
            // one.
            1..=3 if script.remaining() > 2 => {}
            0 => failures.store(1, SeqCst),
            1 => script.fail_accepts([io::Error::from_raw_os_error(libc::ECONNABORTED)]),
            2 => script.fail_accepts([io::Error::from_raw_os_error(libc::EINVAL)]),
            3 => script.fail_accepts([io::Error::from_raw_os_error(libc::ENOMEM)]),
            4 => {
                server.pause();
                tokio::task::yield_now().await;
                server.resume();
            }
            5 => server.set_acceptors(dice.roll(8)),
            _ => server.set_max_connections(1 + dice.roll(50)),
        }
        if server.stats().status == ServerStatus::Running {
            until("clients come", || server.stats().accepted >= 3 * round).await;
        }
    }
    server.set_acceptors(3);
    server.set_max_connections(50);
    stampede.join_all().await;

    failures.store(0, SeqCst);
    until("all have left", || server.connection_count() == 0).await;
    until("the acceptors are back", || server.stats().acceptors == 3).await;
    let mut open = served(&clients, 50).await;
    all_echo(&mut open).await;
    drop(open);
    server.drain(LONG).await;

    let stats = server.stats();
    let ended = stats.completed
        + stats.failed
        + stats.disconnected
        + stats.drained
        + stats.aborted
        + stats.panicked;
    assert_eq!((stats.open, stats.accepted, ended), (0, 1050, 1050));
    assert!(stats.panicked > 0 && stats.aborted > 0);
    assert_eq!(log.count("connection started") as u64, ended);
    assert_eq!(log.count("connection ended") as u64, ended);
    assert_eq!(log.count("acceptor started"), log.count("acceptor stopped"));
    assert_eq!(log.count("exhausted"), log.count("exhaustion ended"));
    assert_eq!(log.count("listener lost"), log.count("listener reopened"));
}
