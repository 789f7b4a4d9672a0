//! How servers end.

use crate::{
    port::Port,
    support::{Log, beside, connect, echo, echoes, memory_server, rest, settled, soon, tcp_server},
};
use reagent::{
    BoxError, Connection, DrainReport, Outcome, Server, ServerHandle, ServerStatus, handle,
};
use std::{future::pending, io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

const DEADLINE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs until a drain starts.
async fn obedient(conn: Connection) -> io::Result<()> {
    conn.draining().await;
    Ok(())
}

/// Ignores a drain.
async fn deaf(conn: Connection) -> io::Result<()> {
    let _held = conn;
    pending().await
}

/// Sends a greeting and ends.
async fn greet(mut conn: Connection) -> io::Result<()> {
    conn.write_all(b"hello").await
}

fn numbers(report: &DrainReport) -> (usize, usize, usize) {
    (report.finished, report.aborted, report.remaining)
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_all_and_says_how_many_there_were() {
    let (server, clients, mut accepted) = memory_server();
    let slow = |conn: Connection| async move {
        conn.draining().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        io::Result::Ok(())
    };
    let server = server.start(handle(slow)).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push((clients.connect().await.unwrap(), accepted.next().await));
    }
    let report = server.drain(DEADLINE).await;
    assert_eq!(numbers(&report), (3, 0, 0));
    assert!(report.elapsed >= Duration::from_secs(3) && report.elapsed < DEADLINE);
    for (_, connection) in &all {
        assert!(matches!(connection.closed().await, Outcome::Drained));
    }
    assert_eq!(server.stats().status, ServerStatus::Stopped);
    assert_eq!((server.connection_count(), server.stats().drained), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_before_the_notification_count_as_finished() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let client = clients.connect().await.unwrap();
    accepted.next().await;
    drop(clients.connect().await.unwrap());
    // A connection that ended earlier does not count.
    accepted.outcome().await;
    assert_eq!(server.connection_count(), 1);
    drop(client);
    let report = server.drain(DEADLINE).await;
    assert_eq!(numbers(&report), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn connections_that_ignore_the_signal_are_aborted_at_the_deadline() {
    let (server, clients, mut accepted) = memory_server();
    let some = |conn: Connection| async move {
        match conn.id() % 2 {
            0 => obedient(conn).await,
            _ => deaf(conn).await,
        }
    };
    let server = server.start(handle(some)).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push((clients.connect().await.unwrap(), accepted.next().await));
    }
    let report = server.drain(DEADLINE).await;
    assert_eq!(numbers(&report), (2, 3, 0));
    assert!(report.elapsed >= DEADLINE && report.elapsed < DEADLINE * 2);
    for (client, connection) in &mut all {
        let outcome = connection.closed().await.to_string();
        assert_eq!(
            outcome,
            if connection.id() % 2 == 0 {
                "drained"
            } else {
                "aborted"
            }
        );
        assert_eq!(rest(client).await.unwrap(), b"");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_an_idle_server_takes_no_time() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.acceptors(4).start(handle(echo)).await.unwrap();
    drop(clients.connect().await.unwrap());
    accepted.outcome().await;
    let began = Instant::now();
    let report = server.drain(DAY).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(report, DrainReport::default());
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_another_task_is_waited_for() {
    let (server, clients, mut accepted) = memory_server();
    let moving = |conn: Connection| async move {
        beside(async move {
            conn.draining().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(conn);
        });
        io::Result::Ok(())
    };
    let server = server.start(handle(moving)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    accepted.next().await;
    settled().await;
    let report = server.drain(DEADLINE).await;
    assert_eq!(numbers(&report), (1, 0, 0));
    assert!(report.elapsed >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_reported_and_not_waited_for() {
    let (server, clients, mut accepted) = memory_server();
    let keeping = |conn: Connection| async move {
        beside(async move {
            let _held = conn;
            pending::<()>().await;
        });
        io::Result::Ok(())
    };
    let server = server.start(handle(keeping)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    accepted.next().await;
    settled().await;
    let report = server.drain(DEADLINE).await;
    assert_eq!(numbers(&report), (0, 1, 1));
    assert!(report.elapsed < DEADLINE * 2);
}

#[tokio::test]
async fn queued_clients_are_still_served_when_the_drain_begins() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(greet))
        .await
        .unwrap();
    server.pause();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(connect(&server).await);
    }
    let report = soon(server.drain(DEADLINE)).await;
    assert_eq!(numbers(&report), (3, 0, 0));
    for client in &mut clients {
        assert_eq!(rest(client).await.unwrap(), b"hello");
    }
}

#[tokio::test]
async fn queued_clients_of_several_acceptors_are_still_served() {
    for acceptors in [0, 4] {
        let server = Server::bind("127.0.0.1:0")
            .acceptors(acceptors)
            .start(handle(greet))
            .await
            .unwrap();
        server.pause();
        let mut first = connect(&server).await;
        let mut second = connect(&server).await;
        let report = soon(server.drain(DEADLINE)).await;
        assert_eq!(numbers(&report), (2, 0, 0), "{acceptors} acceptors");
        assert_eq!(rest(&mut first).await.unwrap(), b"hello");
        assert_eq!(rest(&mut second).await.unwrap(), b"hello");
    }
}

#[tokio::test]
async fn clients_that_connect_after_the_drain_began_are_refused() {
    let port = Port::new();
    let (server, mut accepted) = crate::support::accepted(Server::bind(port.addr()));
    let log = Log::default();
    let server = server
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let mut first = connect(&server).await;
    accepted.next().await;
    let draining = beside({
        let server = server.clone();
        async move { server.drain(DAY).await }
    });
    log.wait_for("drain started", 1).await;
    let error = TcpStream::connect(port.addr()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    // The open connection continues in the meantime.
    assert_eq!(server.stats().status, ServerStatus::Draining);
    assert!(echoes(&mut first, "still here").await);
    drop(first);
    assert_eq!(numbers(&soon(draining).await.unwrap()), (1, 0, 0));
}

/// Starts a server with one connection that ignores every signal.
async fn with_a_deaf_one() -> (ServerHandle, impl Sized) {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(deaf)).await.unwrap();
    let client = clients.connect().await.unwrap();
    accepted.next().await;
    (server, (client, clients))
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_joins_the_first_and_the_sooner_deadline_holds() {
    for deadlines in [[DEADLINE, DAY], [DAY, DEADLINE], [Duration::MAX, DEADLINE]] {
        let (server, _client) = with_a_deaf_one().await;
        let began = Instant::now();
        let [first, second] = deadlines.map(|deadline| {
            let server = server.clone();
            beside(async move { server.drain(deadline).await })
        });
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!(first, second);
        assert_eq!(numbers(&first), (0, 1, 0));
        assert!(
            began.elapsed() >= DEADLINE && began.elapsed() < DEADLINE * 2,
            "{deadlines:?}"
        );
        // A drain after the end returns the same report.
        assert_eq!(server.drain(DAY).await, first);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_continues_without_its_caller() {
    let (server, _client) = with_a_deaf_one().await;
    let asked = tokio::time::timeout(Duration::from_secs(1), server.drain(DEADLINE)).await;
    assert!(asked.is_err());
    let report = server.wait().await.unwrap();
    assert_eq!(numbers(&report), (0, 1, 0));
    assert!(report.elapsed < DEADLINE * 2);
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_end_waits_for_the_last() {
    let (server, clients, mut accepted) = memory_server();
    let leisurely = |_conn: Connection| async {
        tokio::time::sleep(DAY).await;
        io::Result::Ok(())
    };
    let server = server.start(handle(leisurely)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    accepted.next().await;
    let report = server.drain(Duration::MAX).await;
    assert_eq!(numbers(&report), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_nobody_drains_like_any_other() {
    type Prepare = fn(&ServerHandle);
    let prepares: [(&str, Prepare); 4] = [
        ("paused", ServerHandle::pause),
        ("resumed", |server| {
            server.pause();
            server.resume();
        }),
        ("without acceptors", |server| server.set_acceptors(0)),
        ("at its limit", |server| server.set_max_connections(1)),
    ];
    for (what, prepare) in prepares {
        let (server, clients, mut accepted) = memory_server();
        let server = server.start(handle(obedient)).await.unwrap();
        let mut client = clients.connect().await.unwrap();
        let connection = accepted.next().await;
        prepare(&server);
        settled().await;
        let report = server.drain(DEADLINE).await;
        assert_eq!(numbers(&report), (1, 0, 0), "{what}");
        assert_eq!(report.elapsed, Duration::ZERO, "{what}");
        assert!(matches!(connection.closed().await, Outcome::Drained));
        assert_eq!(rest(&mut client).await.unwrap(), b"");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_started_without_acceptors_drains_at_once() {
    let (server, clients, _accepted) = memory_server();
    let server = server.acceptors(0).start(handle(greet)).await.unwrap();
    assert_eq!(server.stats().status, ServerStatus::Paused);
    let mut client = clients.connect().await.unwrap();
    settled().await;
    assert_eq!(clients.waiting(), 1);
    let report = server.drain(DEADLINE).await;
    assert_eq!(
        (numbers(&report), report.elapsed),
        ((1, 0, 0), Duration::ZERO)
    );
    assert_eq!(rest(&mut client).await.unwrap(), b"hello");
}

#[tokio::test(start_paused = true)]
async fn clients_waiting_at_the_limit_are_closed_by_the_drain() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .max_connections(1)
        .start(handle(obedient))
        .await
        .unwrap();
    let _first = clients.connect().await.unwrap();
    accepted.next().await;
    let mut waiting = [
        clients.connect().await.unwrap(),
        clients.connect().await.unwrap(),
    ];
    settled().await;
    assert_eq!(clients.waiting(), 2);
    let report = server.drain(DEADLINE).await;
    // The permit of the first connection, which obeys the drain, goes to the second client. The
    // sweep does not wait for any others.
    assert_eq!(numbers(&report), (2, 0, 0));
    assert_eq!(report.elapsed, Duration::ZERO);
    for client in &mut waiting {
        assert_eq!(rest(client).await.unwrap(), b"");
    }
    assert_eq!(server.stats().accepted, 2);
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_everything_at_once() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(deaf)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    server.pause();
    settled().await;
    let mut queued = clients.connect().await.unwrap();
    let began = Instant::now();
    server.abort();
    let report = server.wait().await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(numbers(&report), (0, 1, 0));
    assert!(matches!(connection.closed().await, Outcome::Aborted));
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    assert_eq!(rest(&mut queued).await.unwrap(), b"");
    assert_eq!(server.stats().accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn an_abort_cuts_a_drain_short() {
    let (server, _client) = with_a_deaf_one().await;
    let draining = beside({
        let server = server.clone();
        async move { server.drain(DAY).await }
    });
    settled().await;
    server.abort();
    let report = draining.await.unwrap();
    assert_eq!(numbers(&report), (0, 1, 0));
    assert!(report.elapsed < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn every_waiter_for_the_end_of_the_server_is_notified() {
    let (server, _client) = with_a_deaf_one().await;
    let waiting = beside({
        let server = server.clone();
        async move { server.wait().await }
    });
    let awaiting = beside({
        let server = server.clone();
        async move { server.await }
    });
    settled().await;
    assert!(!waiting.is_finished() && !awaiting.is_finished());
    let report = server.drain(DEADLINE).await;
    assert_eq!(waiting.await.unwrap().unwrap(), report);
    assert_eq!(awaiting.await.unwrap().unwrap(), report);
    assert_eq!(server.wait().await.unwrap(), report);
}

#[tokio::test]
async fn a_server_goes_on_without_a_handle() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(echo))
        .await
        .unwrap();
    let addr = server.local_addr().clone();
    let other = server.clone();
    drop(server);
    drop(other);
    for _ in 0..2 {
        let mut client = crate::support::connect_to(&addr).await;
        assert!(echoes(&mut client, "anybody there").await);
    }
}

#[tokio::test]
async fn one_connection_can_be_told_to_finish_alone() {
    let (server, clients, mut accepted) = memory_server();
    let until_told = |mut conn: Connection| async move {
        let draining = conn.draining();
        let mut byte = [0];
        tokio::select! {
            () = draining => Ok(()),
            read = conn.read_exact(&mut byte) => read.map(drop),
        }
    };
    let server = server.start(handle(until_told)).await.unwrap();
    let _first = clients.connect().await.unwrap();
    let mut second = clients.connect().await.unwrap();
    let (told, other) = (accepted.next().await, accepted.next().await);
    server.connection(told.id()).unwrap().drain();
    assert!(matches!(soon(told.closed()).await, Outcome::Drained));
    assert!(!other.is_draining());
    assert_eq!(server.stats().status, ServerStatus::Running);
    // The other one completes, which is a different outcome.
    second.write_u8(0).await.unwrap();
    assert!(matches!(soon(other.closed()).await, Outcome::Completed));
}

#[tokio::test]
async fn an_error_stays_an_error_in_a_drain() {
    let (server, clients, mut accepted) = memory_server();
    let failing = |conn: Connection| async move {
        conn.draining().await;
        Err(BoxError::from("not now"))
    };
    let server = server.start(handle(failing)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    let report = soon(server.drain(DEADLINE)).await;
    // It completed and was not aborted.
    assert_eq!(numbers(&report), (1, 0, 0));
    assert_eq!(connection.closed().await.to_string(), "failed: not now");
}

#[tokio::test(start_paused = true)]
async fn the_events_of_an_end_come_in_their_order() {
    let (server, clients, mut accepted) = memory_server();
    let log = Log::default();
    let some = |conn: Connection| async move {
        match conn.id() {
            1 => obedient(conn).await,
            _ => deaf(conn).await,
        }
    };
    let server = server
        .observe(log.clone())
        .start(handle(some))
        .await
        .unwrap();
    let _first = clients.connect().await.unwrap();
    accepted.next().await;
    let _second = clients.connect().await.unwrap();
    accepted.next().await;
    let before = log.events().len();
    server.drain(DEADLINE).await;
    assert_eq!(
        log.events()[before..],
        [
            "drain started: 2",
            "connection ended: 1: drained",
            "acceptor stopped: 0",
            "listener stopped",
            "connection ended: 2: aborted",
            "drain ended: 1 finished, 1 aborted",
        ]
    );
}

#[tokio::test]
async fn a_handler_can_say_goodbye() {
    let (server, mut accepted) = tcp_server();
    let polite = |mut conn: Connection| async move {
        conn.draining().await;
        conn.write_all(b"goodbye").await
    };
    let server = server.start(handle(polite)).await.unwrap();
    let mut client = connect(&server).await;
    accepted.next().await;
    let report = soon(server.drain(DEADLINE)).await;
    assert_eq!(numbers(&report), (1, 0, 0));
    assert_eq!(rest(&mut client).await.unwrap(), b"goodbye");
}
