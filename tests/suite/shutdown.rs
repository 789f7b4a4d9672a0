//! The lame duck stage of a shutdown: clients are still served, and then the server drains.

use crate::support::{Log, beside, echo, echoes, memory_server, rest, settled};
use reagent::{
    Connection, DrainReport, Outcome, Server, ServerHandle, ServerStatus, Shutdown, handle,
    testing::{Clients, FlakyListener, MemoryListener},
};
use std::{future::pending, io, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

const DEADLINE: Duration = Duration::from_secs(10);
const LAME_DUCK: Duration = Duration::from_secs(60);
const STAGED: Shutdown = Shutdown::new(DEADLINE).lame_duck(LAME_DUCK);

/// Ignores a drain.
async fn deaf(conn: Connection) -> io::Result<()> {
    let _held = conn;
    pending().await
}

/// Starts a server with one connection that ignores every notice.
async fn with_a_deaf_one() -> (ServerHandle, impl Sized) {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(deaf)).await.unwrap();
    let client = clients.connect().await.unwrap();
    accepted.next().await;
    (server, (client, clients))
}

/// Requests a shutdown and lets it begin.
async fn request(server: &ServerHandle, shutdown: Shutdown) -> JoinHandle<DrainReport> {
    let server = server.clone();
    let ended = beside(async move { server.shutdown(shutdown).await });
    tokio::task::yield_now().await;
    ended
}

async fn is_served(clients: &Clients) -> bool {
    let mut client = clients.connect().await.unwrap();
    echoes(&mut client, "still there").await
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_serves_clients_and_then_drains() {
    let (server, clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let began = Instant::now();
    let ended = request(&server, STAGED).await;
    assert_eq!(server.status(), ServerStatus::LameDuck);
    assert!(is_served(&clients).await);
    sleep(LAME_DUCK - Duration::from_secs(1)).await;
    assert!(is_served(&clients).await);
    server.status_changed(ServerStatus::LameDuck).await;
    assert_eq!(began.elapsed(), LAME_DUCK);
    let report = ended.await.unwrap();
    assert_eq!(
        (report.lame_duck, report.elapsed),
        (LAME_DUCK, Duration::ZERO)
    );
    // They had ended before the drain.
    assert_eq!((report.finished, server.stats().completed), (0, 2));
    assert!(clients.connect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_start_of_the_drain() {
    let (server, _client) = with_a_deaf_one().await;
    let began = Instant::now();
    let report = server.shutdown(STAGED).await;
    assert_eq!((report.finished, report.aborted), (0, 1));
    assert_eq!(began.elapsed(), LAME_DUCK + DEADLINE);
    assert_eq!(report.elapsed, DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_lame_duck_stage_starts_the_drain_at_once() {
    let (server, _client) = with_a_deaf_one().await;
    let began = Instant::now();
    let ended = request(&server, STAGED).await;
    sleep(Duration::from_secs(1)).await;
    // Its own deadline is later than the one that was requested first.
    let report = server.drain(2 * DEADLINE).await;
    assert_eq!(began.elapsed(), Duration::from_secs(1) + DEADLINE);
    assert_eq!(report.lame_duck, Duration::from_secs(1));
    assert_eq!(ended.await.unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_end_of_each_stage_applies() {
    let seconds = Duration::from_secs;
    let staged =
        |lame_duck, deadline| Shutdown::new(seconds(deadline)).lame_duck(seconds(lame_duck));
    for (first, second, lame_duck, deadline) in [
        (staged(60, 10), staged(30, 20), 31, 10),
        (staged(30, 20), staged(60, 10), 30, 10),
        (staged(60, 10), staged(60, 10), 60, 10),
        // The drain has started, so the times of the second call count from the call.
        (staged(0, 30), staged(60, 10), 0, 11),
        (staged(0, 30), staged(60, 90), 0, 30),
    ] {
        let (server, _client) = with_a_deaf_one().await;
        let ended = request(&server, first).await;
        sleep(seconds(1)).await;
        let report = server.shutdown(second).await;
        assert_eq!(
            (report.lame_duck, report.elapsed),
            (seconds(lame_duck), seconds(deadline)),
            "{first:?} and {second:?}"
        );
        assert_eq!(ended.await.unwrap(), report);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_without_end_waits_for_another_call() {
    let (server, clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let ended = request(&server, Shutdown::new(DEADLINE).lame_duck(Duration::MAX)).await;
    sleep(Duration::from_secs(1_000_000)).await;
    assert!(is_served(&clients).await);
    let report = server.drain(Duration::MAX).await;
    assert!(report.lame_duck >= Duration::from_secs(1_000_000));
    assert_eq!(ended.await.unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_a_lame_duck_and_its_queue_at_once() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(deaf)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    server.pause();
    settled().await;
    let mut queued = clients.connect().await.unwrap();
    let ended = request(&server, STAGED).await;
    let began = Instant::now();
    server.abort();
    let report = ended.await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!((report.finished, report.aborted), (0, 1));
    assert!(matches!(connection.closed().await, Outcome::Aborted));
    assert_eq!(rest(&mut queued).await.unwrap(), b"");
    assert_eq!(server.stats().accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_server_stays_paused_and_serves_its_queue_when_it_drains() {
    let (server, clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    server.pause();
    settled().await;
    let mut client = clients.connect().await.unwrap();
    let ended = request(&server, STAGED).await;
    assert_eq!(server.status(), ServerStatus::LameDuck);
    sleep(LAME_DUCK / 2).await;
    assert_eq!((clients.waiting(), server.stats().accepted), (1, 0));
    sleep(LAME_DUCK / 2).await;
    assert!(echoes(&mut client, "at last").await);
    drop(client);
    assert_eq!(ended.await.unwrap().finished, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_can_be_paused_and_resumed() {
    let (server, clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let ended = request(&server, STAGED).await;
    server.pause();
    server.settled().await;
    let mut client = clients.connect().await.unwrap();
    settled().await;
    assert_eq!(clients.waiting(), 1);
    server.resume();
    assert!(echoes(&mut client, "again").await);
    drop(client);
    ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_that_loses_its_listeners_drains_without_an_error() {
    let (listener, _clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    let began = Instant::now();
    let ended = request(&server, STAGED).await;
    sleep(Duration::from_secs(1)).await;
    script.never_reopen();
    script.fail_accepts([io::Error::from_raw_os_error(libc::EINVAL)]);
    let report = server.wait().await.unwrap();
    assert!(began.elapsed() < LAME_DUCK / 2, "{:?}", began.elapsed());
    assert_eq!(ended.await.unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn a_connection_keeps_its_deadline_when_a_lame_duck_loses_its_listeners() {
    let (listener, clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let server = Server::new(listener).start(handle(deaf)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    settled().await;
    let ended = request(&server, STAGED).await;
    script.never_reopen();
    script.fail_accepts([io::Error::from_raw_os_error(libc::EINVAL)]);
    let report = ended.await.unwrap();
    assert_eq!((report.aborted, report.elapsed), (1, DEADLINE));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_continues_without_its_caller() {
    let (server, _client) = with_a_deaf_one().await;
    let asked = tokio::time::timeout(Duration::from_secs(1), server.shutdown(STAGED)).await;
    assert!(asked.is_err());
    let report = server.wait().await.unwrap();
    assert_eq!((report.lame_duck, report.elapsed), (LAME_DUCK, DEADLINE));
}

#[tokio::test(start_paused = true)]
async fn the_stages_are_reported_in_their_order() {
    let (server, clients, _accepted) = memory_server();
    let log = Log::default();
    let server = server
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let before = log.events().len();
    let ended = request(&server, STAGED).await;
    // Another request does not begin another lame duck stage.
    let again = request(&server, STAGED).await;
    assert!(is_served(&clients).await);
    again.await.unwrap();
    ended.await.unwrap();
    assert_eq!(
        log.events()[before..],
        [
            "lame duck started: 60s",
            "connection started: 1",
            "connection ended: 1: completed",
            "drain started: 0",
            "acceptor stopped: 0",
            "listener stopped",
            "drain ended: 0 finished, 0 aborted",
        ]
    );
}

#[test]
fn a_lame_duck_ends_with_its_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (server, _client) = runtime.block_on(async {
        let (server, client) = with_a_deaf_one().await;
        request(&server, STAGED).await;
        (server, client)
    });
    assert_eq!(server.status(), ServerStatus::LameDuck);
    drop(runtime);
    assert_eq!(server.status(), ServerStatus::Stopped);
}
