//! Health checks: what is answered, when, and on which servers.

use crate::http::{Answer, Raw, start};
use axum::{Router, routing::get};
use reagent::{
    Connection, Server, ServerHandle, ServerStatus, Shutdown, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{health::Health, http::HttpLayer};
use std::{io, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// Starts a server whose health is checked.
async fn checked() -> ServerHandle {
    let (listener, _) = MemoryListener::new();
    let serve = handle(async |_: Connection| io::Result::Ok(()));
    Server::new(listener).start(serve).await.unwrap()
}

/// Requests a path on a new connection.
async fn ask(clients: &Clients, path: &str) -> Answer {
    Raw(clients.connect().await.unwrap()).get(path).await
}

async fn assert_answers(clients: &Clients, ready: (u16, &str), live: (u16, &str)) {
    for (path, (status, body)) in [("/ready", ready), ("/live", live)] {
        let answer = ask(clients, path).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_is_ready_until_it_shuts_down_and_live_until_it_has_stopped() {
    let health = Health::new();
    let (_probes, clients) = start(HttpLayer::new(), health.clone()).await;
    assert_answers(&clients, (503, "not ready: not started\n"), (200, "live\n")).await;
    let server = checked().await;
    health.add(&server);
    assert_answers(&clients, (200, "ready\n"), (200, "live\n")).await;
    server.pause();
    assert_answers(&clients, (503, "not ready: paused\n"), (200, "live\n")).await;
    server.resume();
    let shutdown = Shutdown::new(SECOND).lame_duck(60 * SECOND);
    tokio::join!(server.shutdown(shutdown), async {
        server.status_changed(ServerStatus::Running).await;
        assert_answers(&clients, (503, "not ready: lame_duck\n"), (200, "live\n")).await;
    });
    let stopped = (503, "not ready: stopped\n");
    assert_answers(&clients, stopped, (503, "stopped\n")).await;
    // A server that was stopped on purpose does not matter to the others.
    health.add(&checked().await);
    health.remove(&server);
    assert_answers(&clients, (200, "ready\n"), (200, "live\n")).await;
}

#[tokio::test(start_paused = true)]
async fn all_servers_must_be_ready_and_none_may_have_stopped() {
    let health = Health::new();
    let (_probes, clients) = start(HttpLayer::new(), health.clone()).await;
    let servers = [checked().await, checked().await];
    servers.iter().for_each(|server| health.add(server));
    assert_answers(&clients, (200, "ready\n"), (200, "live\n")).await;
    servers[1].pause();
    assert_answers(&clients, (503, "not ready: paused\n"), (200, "live\n")).await;
    servers[0].drain(SECOND).await;
    let stopped = (503, "not ready: stopped\n");
    assert_answers(&clients, stopped, (503, "stopped\n")).await;
}

#[tokio::test(start_paused = true)]
async fn a_reason_is_one_line() {
    let health = Health::new();
    let (_probes, clients) = start(HttpLayer::new(), health.clone()).await;
    let server = checked().await;
    health.add(&server);
    let _hold = server.readiness().hold("no database:\r\ntimed out");
    let not_ready = (503, "not ready: no database:  timed out\n");
    assert_answers(&clients, not_ready, (200, "live\n")).await;
}

#[tokio::test(start_paused = true)]
async fn answers_are_plain_text_that_is_not_cached() {
    let health = Health::new();
    health.add(&checked().await);
    let (_probes, clients) = start(HttpLayer::new(), health).await;
    for (path, status) in [("/ready", 200), ("/ready?verbose", 200), ("/", 404)] {
        let answer = ask(&clients, path).await;
        assert_eq!(answer.status, status, "{path}");
        let has = |field: &str| answer.head.lines().any(|line| line == field);
        assert!(has("cache-control: no-store"), "{}", answer.head);
        assert!(has("content-type: text/plain; charset=utf-8"));
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_and_paths_are_refused() {
    let (_probes, clients) = start(HttpLayer::new(), Health::new()).await;
    for (request, status) in [
        ("POST /ready", 405),
        ("DELETE /live", 405),
        ("POST /", 404),
        ("GET /ready/", 404),
        ("GET /Live", 404),
    ] {
        let mut client = Raw(clients.connect().await.unwrap());
        client
            .send(&format!("{request} HTTP/1.1\r\nhost: here\r\n\r\n"))
            .await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, status, "{request}");
        let allows = answer.head.contains("\r\nallow: GET, HEAD\r\n");
        assert_eq!(allows, status == 405, "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_request_gets_the_head_of_the_answer() {
    let (_probes, clients) = start(HttpLayer::new(), Health::new()).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("HEAD /live HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_router_of_axum_mounts_it_as_routes_or_as_its_fallback() {
    let hello = || Router::new().route("/", get(async || "hello"));
    let health = Health::new();
    health.add(&checked().await);
    let routes = hello()
        .route_service("/ready", health.clone())
        .route_service("/live", health.clone());
    let nested = hello().nest_service("/health", health.clone());
    let fallback = hello().fallback_service(health);
    for (router, prefix) in [(routes, ""), (nested, "/health"), (fallback, "")] {
        let (_server, clients) = start(HttpLayer::new(), router).await;
        assert_eq!(ask(&clients, "/").await.body, "hello");
        let answer = ask(&clients, &format!("{prefix}/ready")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ready\n"));
        let answer = ask(&clients, &format!("{prefix}/live")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "live\n"));
        let answer = ask(&clients, &format!("{prefix}/other")).await;
        assert_eq!(answer.status, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_can_answer_for_itself() {
    let health = Health::new();
    let (server, clients) = start(HttpLayer::new(), health.clone()).await;
    health.add(&server);
    assert_answers(&clients, (200, "ready\n"), (200, "live\n")).await;
    let shutdown = Shutdown::new(60 * SECOND).lame_duck(60 * SECOND);
    let (report, ()) = tokio::join!(server.shutdown(shutdown), async {
        server.status_changed(ServerStatus::Running).await;
        assert_answers(&clients, (503, "not ready: lame_duck\n"), (200, "live\n")).await;
    });
    assert_eq!((report.lame_duck, report.aborted), (60 * SECOND, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_handed_over_is_ready_and_live() {
    let health = Health::new();
    let (_probes, clients) = start(HttpLayer::new(), health.clone()).await;
    let server = checked().await;
    health.add(&server);
    health.handed_over();
    let _ = server.drain(SECOND).await;
    assert_answers(&clients, (200, "ready\n"), (200, "live\n")).await;
}
