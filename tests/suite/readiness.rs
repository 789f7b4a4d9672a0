//! Whether a server is ready for clients, and how a change is noticed.

use crate::support::{beside, echo, echoes, memory_server, settled, soon};
use reagent::{Readiness, ServerStatus, Shutdown, handle};
use std::time::Duration;
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

fn reason(readiness: &Readiness) -> Option<String> {
    readiness.reason().map(|reason| reason.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_server_is_ready_while_it_runs_and_is_not_paused() {
    let (server, _clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let mut readiness = server.readiness();
    assert!(readiness.is_ready());
    assert_eq!(readiness.status(), ServerStatus::Running);
    for (change, is_ready, why) in [
        ("pause", false, Some("paused")),
        ("resume", true, None),
        ("set_acceptors(0)", false, Some("paused")),
        ("set_acceptors(1)", true, None),
    ] {
        match change {
            "pause" => server.pause(),
            "resume" => server.resume(),
            "set_acceptors(0)" => server.set_acceptors(0),
            _ => server.set_acceptors(1),
        }
        assert_eq!(soon(readiness.changed()).await, is_ready, "{change}");
        assert_eq!(reason(&readiness).as_deref(), why, "{change}");
    }
    let shutdown = Shutdown::new(SECOND).lame_duck(SECOND);
    let stopping = server.clone();
    let ended = beside(async move { stopping.shutdown(shutdown).await });
    assert!(!readiness.changed().await);
    assert_eq!(reason(&readiness).as_deref(), Some("lame_duck"));
    server.status_changed(ServerStatus::LameDuck).await;
    assert!(!readiness.is_ready());
    ended.await.unwrap();
    assert_eq!(reason(&readiness).as_deref(), Some("stopped"));
    assert!(!readiness.is_ready());
    // It is never ready again.
    assert!(timeout(SECOND, readiness.changed()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_hold_makes_a_server_not_ready_and_lets_it_serve() {
    let (server, clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let mut readiness = server.readiness();
    let first = readiness.hold("no database");
    let second = server.readiness().hold("no database");
    let third = server.readiness().hold("under pressure");
    assert!(!readiness.changed().await);
    assert_eq!(reason(&readiness).as_deref(), Some("no database"));
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    assert_eq!(server.status(), ServerStatus::Running);
    drop(second);
    assert_eq!(reason(&readiness).as_deref(), Some("no database"));
    drop(first);
    assert_eq!(reason(&readiness).as_deref(), Some("under pressure"));
    drop(third);
    assert!(readiness.changed().await);
    // The status comes first, since a server that stops will not be ready whatever is held.
    let _hold = readiness.hold("no database");
    server.pause();
    assert_eq!(reason(&readiness).as_deref(), Some("paused"));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_loses_no_change() {
    let (server, _clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let mut readiness = server.readiness();
    assert!(timeout(SECOND, readiness.changed()).await.is_err());
    server.pause();
    settled().await;
    assert!(!readiness.changed().await);
    assert!(timeout(SECOND, readiness.changed()).await.is_err());
    // Two changes that cancel each other out are not reported.
    server.resume();
    server.pause();
    assert!(timeout(SECOND, readiness.changed()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn each_clone_notices_each_change() {
    let (server, _clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let mut first = server.readiness();
    let mut second = first.clone();
    server.pause();
    assert!(!first.changed().await);
    assert!(!second.changed().await);
    assert_eq!(
        format!("{first:?}"),
        r#"Readiness { status: Paused, reason: Some("paused") }"#
    );
}
