//! The report of a drain says why each survivor survived.

use crate::support::{beside, memory_server, settled};
use reagent::{
    BoxError, Connection, DrainReport, Phase, Server, Shutdown, Spawn, SurvivalReason, Survivor,
    Upgrade, UpgradeLayer, handle, testing::MemoryListener,
};
use std::{
    future::{Future, pending},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

const DEADLINE: Duration = Duration::from_secs(10);

/// Drains a server with one connection that is served by `serve`.
async fn drained<F>(serve: impl Fn(Connection) -> F + Clone + Send + Sync + 'static) -> DrainReport
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(serve)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    accepted.next().await;
    client.write_all(b"a").await.unwrap();
    settled().await;
    server.drain(DEADLINE).await
}

fn only(report: &DrainReport) -> &Survivor {
    assert_eq!((report.aborted, report.survivors.len()), (1, 1));
    let survivor = &report.survivors[0];
    assert_eq!(report.survivors_by(survivor.reason), 1);
    survivor
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_look_at_the_notification_is_not_listening() {
    let report = drained(async |conn| {
        let _draining = conn.draining();
        pending().await
    })
    .await;
    let survivor = only(&report);
    assert_eq!(survivor.reason, SurvivalReason::NotListening);
    assert_eq!(survivor.notified_at, Some(Duration::ZERO));
    assert_eq!(survivor.connection.phase, Phase::Handling);
    assert!(!survivor.has_listened && !survivor.is_open);
    let line = survivor.to_string();
    let peer = &survivor.connection.peer_addr;
    assert_eq!(
        line,
        format!(
            "connection 1 from {peer}, accepted 10.001s ago, handling, notified at 0ns, \
             aborted: not listening"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_knows_of_the_drain_is_not_done() {
    let waits = async |conn: Connection| {
        conn.draining().await;
        pending().await
    };
    let asks = async |conn: Connection| {
        while !conn.is_draining() {
            sleep(Duration::from_secs(1)).await;
        }
        pending().await
    };
    let reads = async |conn: Connection| {
        let mut conn = conn.eof_on_drain();
        let mut buf = Vec::new();
        conn.read_to_end(&mut buf).await?;
        pending().await
    };
    for report in [
        drained(waits).await,
        drained(asks).await,
        drained(reads).await,
    ] {
        let survivor = only(&report);
        assert!(survivor.has_listened);
        assert_eq!(survivor.reason, SurvivalReason::Unfinished);
        assert_eq!(
            report.to_string(),
            "0 finished, 1 aborted (1 not done); notified 1, took 10s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn looking_at_a_connection_from_outside_is_not_listening() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .start(handle(async |conn: Connection| {
            let _held = conn;
            pending::<io::Result<()>>().await
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    accepted.next().await;
    let (report, ()) = tokio::join!(server.drain(DEADLINE), async {
        settled().await;
        assert!(server.connections()[0].is_draining);
    });
    assert_eq!(only(&report).reason, SurvivalReason::NotListening);
}

#[tokio::test(start_paused = true)]
async fn a_stream_held_outside_its_handler_is_detached() {
    // The abort fails the read of the task, which then drops the stream.
    let reading = async |mut conn: Connection| {
        beside(async move {
            let mut buf = Vec::new();
            let _ = conn.read_to_end(&mut buf).await;
        });
        Ok(())
    };
    let report = drained(reading).await;
    let survivor = only(&report);
    assert_eq!(survivor.reason, SurvivalReason::Detached);
    assert_eq!((survivor.is_open, report.remaining), (false, 0));

    // Nothing ends the connection of a task that does not use it.
    let holding = async |conn: Connection| {
        beside(async move {
            let _held = conn;
            pending::<()>().await;
        });
        Ok(())
    };
    let report = drained(holding).await;
    let survivor = only(&report);
    assert_eq!(survivor.reason, SurvivalReason::Detached);
    assert_eq!((survivor.is_open, report.remaining), (true, 1));
    assert_eq!(
        report.to_string(),
        "0 finished, 1 aborted (1 held outside the handler), 1 still open; notified 1, took 11s"
    );
}

/// Waits for two bytes, the second of which never comes.
struct Handshake;

impl<Io: reagent::IoStream> Upgrade<Io> for Handshake {
    type Io = Io;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        conn.read_u16().await?;
        Ok(conn)
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_in_the_middle_of_a_handshake_is_still_being_opened() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .layer(UpgradeLayer::new(Handshake).timeout(2 * DEADLINE))
        .start(handle(async |_: Connection| io::Result::Ok(())))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    accepted.next().await;
    client.write_all(b"a").await.unwrap();
    settled().await;
    let report = server.drain(DEADLINE).await;
    let survivor = only(&report);
    assert_eq!(survivor.reason, SurvivalReason::Opening);
    assert_eq!(survivor.connection.phase, Phase::Upgrading);
}

/// Keeps the tasks of connections and never polls them, like a runtime whose threads are blocked.
#[derive(Clone, Default)]
struct Stuck(Arc<Mutex<Vec<Task>>>);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Spawn for Stuck {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().unwrap().push(Box::pin(task));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_not_polled_after_the_abort_is_blocked() {
    let (listener, clients) = MemoryListener::new();
    let stuck = Stuck::default();
    let server = Server::new(listener)
        .spawn_with(stuck.clone())
        .start(handle(async |_: Connection| io::Result::Ok(())))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    settled().await;
    let report = server.drain(DEADLINE).await;
    let survivor = only(&report);
    assert_eq!(survivor.reason, SurvivalReason::Blocked);
    assert_eq!((survivor.is_open, report.remaining), (true, 1));
    assert!(survivor.to_string().ends_with("still open: thread blocked"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_time_to_finish_was_notified_late() {
    let (server, clients, mut accepted) = memory_server();
    let obedient = async |conn: Connection| {
        conn.draining().await;
        sleep(Duration::from_millis(50)).await;
        io::Result::Ok(())
    };
    let server = server.start(handle(obedient)).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(clients.connect().await.unwrap());
        accepted.next().await;
    }
    // The first is notified at 0 s and the second at 5 s. The deadline is brought forward to the
    // moment after that.
    let shutdown = Shutdown::new(DEADLINE * 2).spread(DEADLINE * 2);
    let (report, ()) = tokio::join!(server.shutdown(shutdown), async {
        sleep(Duration::from_millis(5_010)).await;
        server.abort();
    });
    assert_eq!((report.finished, report.aborted), (1, 3));
    assert_eq!(report.survivors_by(SurvivalReason::NotifiedLate), 3);
    let at: Vec<_> = report.survivors.iter().map(|it| it.notified_at).collect();
    assert_eq!(at[0], Some(Duration::from_secs(5)));
    // An abort notifies nobody else first.
    assert!(
        at[1..]
            .iter()
            .all(|at| at.is_none_or(|at| at >= Duration::from_secs(5)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_notified_before_the_drain_has_listened() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .start(handle(async |conn: Connection| {
            conn.draining().await;
            pending::<io::Result<()>>().await
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    accepted.next().await.drain();
    settled().await;
    let spread = Shutdown::new(DEADLINE).spread(DEADLINE);
    let report = server.shutdown(spread).await;
    let survivor = only(&report);
    assert_eq!(survivor.reason, SurvivalReason::Unfinished);
    assert_eq!(survivor.notified_at, Some(Duration::ZERO));
    assert_eq!(report.notified, 0);
}

#[tokio::test(start_paused = true)]
async fn a_report_describes_the_open_and_the_oldest_of_many_survivors() {
    let (server, clients, mut accepted) = memory_server();
    let serve = async |conn: Connection| {
        if conn.id() == 150 {
            beside(async move {
                let _held = conn;
                pending::<()>().await;
            });
            return Ok(());
        }
        let _held = conn;
        pending::<io::Result<()>>().await
    };
    let server = server.start(handle(serve)).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..150 {
        open.push(clients.connect().await.unwrap());
        accepted.next().await;
    }
    settled().await;
    let report = server.drain(DEADLINE).await;
    assert_eq!((report.aborted, report.remaining), (150, 1));
    assert_eq!(report.survivors_by(SurvivalReason::NotListening), 149);
    assert_eq!(report.survivors_by(SurvivalReason::Detached), 1);
    let ids: Vec<_> = report
        .survivors
        .iter()
        .map(|survivor| survivor.connection.id)
        .collect();
    let expected: Vec<_> = [150].into_iter().chain(1..=99).collect();
    assert_eq!(ids, expected);
}
