//! Time limits of protocols.

use super::{Decision, Trial, settle, try_out};
use axum::{
    Router,
    body::Body,
    extract::ws::WebSocketUpgrade,
    routing::{any, get, post},
};
use reagent_layers::{
    framed::{FramedLayer, codec::LinesCodec},
    http::HttpLayer,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};
use tower::service_fn;

const HOUR: Duration = Duration::from_secs(3600);

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Returns which request the client begins and does not finish, and the time limit that it exceeds.
const CASES: [(&str, &str); 5] = [
    ("", "first byte"),
    ("GET / HTTP/1.1\r\nho", "http header"),
    ("PRI * HTTP/2.0\r\n\r\n", "http header"),
    (
        "POST /read HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\nhalf",
        "http stream idle",
    ),
    (
        "GET /big HTTP/1.1\r\nhost: here\r\n\r\n",
        "http stream idle",
    ),
];

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/big", get(|| async { vec![b'x'; 1024 * 1024] }))
        .route(
            "/read",
            post(|body: Body| async {
                let body = axum::body::to_bytes(body, usize::MAX).await;
                body.map_or(0, |body| body.len()).to_string()
            }),
        )
        .route(
            "/ws",
            any(|upgrade: WebSocketUpgrade| async {
                upgrade.on_upgrade(|mut socket| async move {
                    while let Some(Ok(message)) = socket.recv().await {
                        let _ = socket.send(message).await;
                    }
                })
            }),
        )
}

/// Sends a part of a request, and returns what is decided within two hours.
async fn stall(text: &str, is_dry: bool) -> (Trial, Vec<Decision>, tokio::io::DuplexStream) {
    let mut trial = try_out!(HttpLayer::new().dry_run(is_dry), router());
    let mut client = trial.connect(1).await;
    client.write_all(text.as_bytes()).await.unwrap();
    sleep(2 * HOUR).await;
    let decisions = trial.decisions.all();
    (trial, decisions, client)
}

#[tokio::test(start_paused = true)]
async fn http_spares_a_connection_when_it_would_end_it() {
    for (text, kind) in CASES {
        let (_, enforced, _) = stall(text, false).await;
        assert_eq!(enforced.len(), 1, "{text:?}: {enforced:?}");
        assert_eq!(enforced[0].1, kind, "{text:?}");
        let (trial, spared, _client) = stall(text, true).await;
        assert_eq!(spared, enforced, "{text:?}");
        assert_eq!(trial.server.connection_count(), 1, "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_spared_client_of_http_is_served_when_it_goes_on() {
    for (text, rest, answer) in [
        ("", "GET / HTTP/1.1\r\nhost: here\r\n\r\n", "hello"),
        (CASES[1].0, "st: here\r\n\r\n", "hello"),
        (CASES[3].0, "whole", "9"),
    ] {
        let (trial, spared, mut client) = stall(text, true).await;
        assert_eq!(spared.len(), 1);
        client.write_all(rest.as_bytes()).await.unwrap();
        let mut received = String::new();
        while !received.ends_with(&format!("\r\n\r\n{answer}")) {
            received.push(char::from(client.read_u8().await.unwrap()));
        }
        // The connection is free of the other limits, too.
        sleep(2 * HOUR).await;
        assert_eq!(trial.decisions.all(), spared);
        // It still obeys a drain.
        let report = trial.server.drain(HOUR).await;
        assert_eq!((report.finished, report.aborted), (1, 0), "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_spared_client_of_http_that_never_begins_does_not_delay_a_drain() {
    for text in ["", "PRI * HTTP/2.0\r\n\r\n"] {
        let (trial, _, _client) = stall(text, true).await;
        let report = trial.server.drain(HOUR).await;
        assert_eq!(
            (report.elapsed.as_secs(), report.aborted),
            (1, 0),
            "{text:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_http_is_spared() {
    let request = "GET / HTTP/1.1\r\nhost: here\r\n\r\n";
    let (trial, enforced, _client) = stall(request, false).await;
    assert_eq!((enforced, trial.server.stats().completed), (Vec::new(), 1));
    let (trial, spared, _client) = stall(request, true).await;
    let idle = (1, "http keep-alive".to_owned(), Duration::from_secs(75));
    assert_eq!(spared, [idle]);
    assert_eq!(trial.server.connection_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_websocket_is_spared() {
    let (trial, _, _client) = stall(UPGRADE, false).await;
    assert_eq!(trial.server.connection_count(), 0);
    let (trial, spared, mut client) = stall(UPGRADE, true).await;
    let idle = (1, "http upgraded idle".to_owned(), HOUR);
    assert_eq!(spared, [idle]);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    // A masked text frame (RFC 6455, section 5.2), and its echo.
    client
        .write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'])
        .await
        .unwrap();
    let mut echo = [0; 4];
    client.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"\x81\x02hi");
    assert_eq!(trial.decisions.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_stalled_stream_of_http2_is_spared() {
    for is_dry in [false, true] {
        let mut trial = try_out!(HttpLayer::new().dry_run(is_dry), router());
        let (mut client, connection) = h2::client::handshake(trial.connect(1).await).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "a client's own task")]
        let connection = tokio::spawn(connection);
        let mut stalled = Vec::new();
        for _ in 0..2 {
            let request = http::Request::post("http://here/read").body(()).unwrap();
            stalled.push(client.send_request(request, false).unwrap());
        }
        sleep(2 * HOUR).await;
        for (response, mut body) in stalled {
            let sent = body.send_data("whole".into(), true);
            match is_dry {
                true => assert_eq!(response.await.unwrap().status(), 200),
                false => assert!(sent.is_err() || response.await.is_err()),
            }
        }
        let streams = trial.decisions.reasons();
        let streams = streams
            .iter()
            .filter(|(_, reason)| reason == "http stream idle");
        assert_eq!(streams.count(), if is_dry { 2 } else { 0 });
        connection.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn frames_are_spared_and_answered_when_they_are_whole() {
    for is_dry in [false, true] {
        let layer = FramedLayer::new(LinesCodec::new()).dry_run(is_dry);
        let same = service_fn(|line: String| async move { Ok::<_, std::io::Error>(line) });
        let mut trial = try_out!(layer, same);
        let mut client = trial.connect(1).await;
        client.write_all(b"he").await.unwrap();
        sleep(HOUR).await;
        let late = (1, "frame".to_owned(), Duration::from_secs(30));
        assert_eq!(trial.decisions.all(), [late], "{is_dry}");
        if is_dry {
            client.write_all(b"llo\n").await.unwrap();
            let mut echo = [0; 6];
            client.read_exact(&mut echo).await.unwrap();
            assert_eq!(&echo, b"hello\n");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_frames_is_spared_once() {
    for is_dry in [false, true] {
        let layer = FramedLayer::new(LinesCodec::new()).dry_run(is_dry);
        let big = service_fn(|_: String| async { Ok::<_, std::io::Error>("x".repeat(200_000)) });
        let mut trial = try_out!(layer, big);
        let mut client = trial.connect(1).await;
        client.write_all(b"go\n").await.unwrap();
        sleep(HOUR).await;
        let reasons = trial.decisions.all();
        assert_eq!(reasons.len(), 1, "{is_dry}: {reasons:?}");
        assert_eq!(reasons[0].2.as_secs(), 30);
        if is_dry {
            // Whatever else wakes the connection, it is not spared again.
            trial.server.connection(1).unwrap().drain();
            settle().await;
            assert_eq!(trial.decisions.all(), reasons);
            let mut answer = vec![0; 200_001];
            client.read_exact(&mut answer).await.unwrap();
        }
    }
}
