//! The server still controls a connection after an upgrade to another protocol.

use super::{H2, Raw, in_time, start};
use crate::support::{Served, until};
use axum::{
    Extension, Router,
    extract::ws::{Message, WebSocketUpgrade},
    response::Response,
    routing::any,
};
use bytes::Bytes;
use reagent::{ConnectionHandle, Outcome, Phase, Server, testing::MemoryListener};
use reagent_layers::http::{HttpConnection, HttpLayer, RequestBody};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Echoes, and says goodbye when the server drains.
async fn socket(
    upgrade: WebSocketUpgrade,
    Extension(connection): Extension<HttpConnection>,
) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        let mut draining = connection.handle().draining();
        loop {
            tokio::select! {
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let _ = socket.send(Message::Text(text)).await;
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
                () = &mut draining => {
                    let _ = socket.send(Message::Text("goodbye".into())).await;
                    let _ = socket.send(Message::Close(None)).await;
                    return;
                }
            }
        }
    })
}

fn router() -> Router {
    Router::new().route("/ws", any(socket))
}

async fn upgraded(stream: DuplexStream) -> Raw {
    let mut client = Raw(stream);
    client
        .send(
            "GET /ws HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 101, "{}", answer.head);
    client
}

/// Sends a masked text frame (RFC 6455, section 5.2) with a mask of zeros.
async fn say(client: &mut Raw, text: &str) {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    client.0.write_all(&frame).await.unwrap();
}

async fn hear(client: &mut Raw) -> String {
    let mut head = [0; 2];
    in_time(client.0.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[0], 0x81, "a text");
    let mut text = vec![0; head[1].into()];
    in_time(client.0.read_exact(&mut text)).await.unwrap();
    String::from_utf8(text).unwrap()
}

async fn detached(server: &Served) -> ConnectionHandle {
    let connection = server.connection(1).expect("it is listed");
    until("HTTP is over", || connection.phase() == Phase::Detached).await;
    connection
}

#[tokio::test]
async fn a_websocket_is_listed_and_counted_until_it_closes() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .max_connections(1)
        .layer(HttpLayer::new())
        .start(router())
        .await
        .unwrap();
    let mut client = upgraded(clients.connect().await.unwrap()).await;
    say(&mut client, "hello").await;
    assert_eq!(hear(&mut client).await, "hello");
    let connection = server.connection(1).expect("it is listed");
    until("HTTP is over", || connection.phase() == Phase::Detached).await;
    let before = connection.bytes_read();
    say(&mut client, "still").await;
    assert_eq!(hear(&mut client).await, "still");
    assert!(connection.bytes_read() > before);

    // The connection holds the only permit.
    let _waits = clients.connect().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((server.connection_count(), clients.waiting()), (1, 1));
    drop(client);
    until("the next is served", || server.connection(2).is_some()).await;
    assert!(matches!(connection.closed().await, Outcome::Completed));
}

#[tokio::test]
async fn a_websocket_can_be_killed() {
    let (server, clients) = start(HttpLayer::new(), router()).await;
    let mut client = upgraded(clients.connect().await.unwrap()).await;
    let connection = detached(&server).await;
    connection.abort();
    assert!(matches!(server.ends.of(1).await, Outcome::Aborted));
    assert_eq!(in_time(client.0.read(&mut [0])).await.unwrap_or(0), 0);
    assert_eq!(server.connection_count(), 0);
}

#[tokio::test]
async fn a_websocket_hears_of_the_drain_and_has_its_time() {
    let (server, clients) = start(HttpLayer::new(), router()).await;
    let mut client = upgraded(clients.connect().await.unwrap()).await;
    detached(&server).await;
    let (report, heard) = tokio::join!(server.drain(Duration::from_secs(10)), async {
        hear(&mut client).await
    });
    assert_eq!(heard, "goodbye");
    assert_eq!((report.finished, report.aborted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_does_not_hear_is_aborted_at_the_deadline() {
    let deaf = any(|upgrade: WebSocketUpgrade| async {
        upgrade
            .on_upgrade(|mut socket| async move { while let Some(Ok(_)) = socket.recv().await {} })
    });
    let (server, clients) = start(HttpLayer::new(), Router::new().route("/ws", deaf)).await;
    let _client = upgraded(clients.connect().await.unwrap()).await;
    let report = server.drain(Duration::from_secs(10)).await;
    assert_eq!((report.finished, report.aborted), (0, 1));
    assert_eq!(report.elapsed.as_secs(), 10);
}

/// Over HTTP/2, a WebSocket is a stream (RFC 8441), and its connection is not idle.
#[tokio::test(start_paused = true)]
async fn a_websocket_by_http2_lives_as_long_as_it_likes() {
    let (server, clients) = start(HttpLayer::new(), router()).await;
    let client = H2::new(clients.connect().await.unwrap()).await;
    until("the settings are there", || {
        client.requests.is_extended_connect_protocol_enabled()
    })
    .await;
    let mut request = ::http::Request::connect("http://here/ws")
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    request
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("websocket"));
    let mut requests = client.requests.clone().ready().await.unwrap();
    let (response, mut sending) = requests.send_request(request, false).unwrap();
    let response = in_time(response).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();

    tokio::time::sleep(Duration::from_secs(600)).await;
    let frame = Bytes::from_static(b"\x81\x82\0\0\0\0hi");
    sending.send_data(frame, false).unwrap();
    let mut heard = Vec::new();
    while heard.len() < 4 {
        heard.extend_from_slice(&in_time(body.data()).await.unwrap().unwrap());
    }
    assert_eq!(heard, b"\x81\x02hi");
    assert_eq!(server.connection_count(), 1);

    let (report, ()) = tokio::join!(server.drain(Duration::from_secs(10)), async {
        let mut heard = Vec::new();
        while let Some(Ok(data)) = in_time(body.data()).await {
            heard.extend_from_slice(&data);
            let _ = body.flow_control().release_capacity(data.len());
            if heard.ends_with(b"\x88\x00") {
                break;
            }
        }
        assert!(heard.starts_with(b"\x81\x07goodbye"), "{heard:?}");
        let _ = sending.send_data(Bytes::new(), true);
        drop(client.requests);
    });
    assert_eq!((report.finished, report.aborted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_silent_in_both_directions_is_ended() {
    let hour = Duration::from_secs(3600);
    for (layer, limit) in [
        (HttpLayer::new(), hour),
        (HttpLayer::new().upgraded_idle_timeout(hour / 2), hour / 2),
    ] {
        let (server, clients) = start(layer, router()).await;
        let mut client = upgraded(clients.connect().await.unwrap()).await;
        for _ in 0..3 {
            tokio::time::sleep(limit - Duration::from_secs(1)).await;
            say(&mut client, "hello").await;
            assert_eq!(hear(&mut client).await, "hello");
        }
        let began = tokio::time::Instant::now();
        assert_eq!(client.0.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(began.elapsed().as_secs(), limit.as_secs());
        server.ends.of(1).await;
    }
}

/// The stream is split into halves in two tasks.
#[tokio::test(start_paused = true)]
async fn an_upgraded_stream_whose_client_reads_nothing_is_ended() {
    let service = tower::service_fn(async |mut request: ::http::Request<RequestBody>| {
        let upgraded = hyper::upgrade::on(&mut request);
        #[expect(clippy::disallowed_methods, reason = "what a service does")]
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
            let (mut reading, mut writing) = tokio::io::split(io);
            let endless = async { while writing.write_all(&[0; 10_000]).await.is_ok() {} };
            tokio::join!(endless, async {
                let error = reading.read(&mut [0]).await.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            });
        });
        let answer = ::http::Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "raw");
        Ok::<_, std::convert::Infallible>(answer.body(axum::body::Body::empty()).unwrap())
    });
    let (server, clients) = start(HttpLayer::new(), service).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("GET / HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n")
        .await;
    let began = tokio::time::Instant::now();
    until("it is there", || server.connection(1).is_some()).await;
    server.connection(1).unwrap().closed().await;
    assert_eq!(began.elapsed().as_secs(), 3600);
}
