//! A response to a request whose body was not read: it arrives, and says whether the connection is
//! kept.

use super::{Raw, SECOND, in_time, start};
use ::http::StatusCode;
use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use futures_util::StreamExt;
use reagent::Server;
use reagent_layers::http::HttpLayer;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

/// `/get` only allows GET, `/small` reads one piece, `/refuse` reads nothing, and `/echo` streams.
fn router() -> Router {
    Router::new()
        .route("/get", get(|| async { "got" }))
        .route(
            "/small",
            post(|body: Body| async {
                body.into_data_stream().next().await;
                (StatusCode::PAYLOAD_TOO_LARGE, "too large")
            }),
        )
        .route(
            "/refuse",
            post(|_: Body| async { (StatusCode::UNAUTHORIZED, "no") }),
        )
        .route("/echo", post(|body: Body| async { body }))
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_body_that_will_not_be_read_says_that_it_is_the_last() {
    for head in [
        "POST /refuse HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        "POST /refuse HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhal",
        "POST /refuse HTTP/1.1\r\nhost: here\r\ncontent-length: 5000000\r\n\r\nhalf",
        "POST /refuse HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST /get HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\n",
        "POST /small HTTP/1.1\r\nhost: here\r\ncontent-length: 5000000\r\n\r\nhalf",
        "POST /nowhere HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\n",
    ] {
        let (_server, clients) = start(HttpLayer::new(), router()).await;
        let mut client = Raw(clients.connect().await.unwrap());
        client.send(head).await;
        let answer = client.answer().await.expect(head);
        assert!(answer.status >= 400, "{head}: {}", answer.head);
        assert!(
            answer.head.contains("connection: close"),
            "{head}: {}",
            answer.head
        );
        assert_eq!(client.rest().await, "", "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_there_is_discarded_and_the_connection_kept() {
    let (_server, clients) = start(HttpLayer::new(), router()).await;
    let mut client = Raw(clients.connect().await.unwrap());
    for body in ["x".to_owned(), "x".repeat(3000)] {
        for path in ["/refuse", "/get", "/nowhere"] {
            let length = body.len();
            client
                .send(&format!(
                    "POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n{body}"
                ))
                .await;
            let answer = client.answer().await.unwrap();
            assert!(
                !answer.head.contains("connection: close"),
                "{}",
                answer.head
            );
        }
    }
    assert_eq!(client.get("/get").await.body, "got");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_streams_its_request_back_keeps_the_connection() {
    let (_server, clients) = start(HttpLayer::new(), router()).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\nha")
        .await;
    let mut head = String::new();
    while !head.contains("\r\n\r\n") {
        head.push(char::from(in_time(client.0.read_u8()).await.unwrap()));
    }
    assert!(!head.contains("connection: close"), "{head}");
    client.send("lf").await;
    let mut body = [0; 4];
    in_time(client.0.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"half");
    assert_eq!(client.get("/get").await.body, "got");
}

/// On a real socket, where closing with unread bytes resets the connection.
#[tokio::test]
async fn a_client_that_uploads_slowly_gets_its_answer() {
    let server = Server::bind("127.0.0.1:0")
        .layer(HttpLayer::new())
        .start(router())
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    for (path, status) in [("/get", 405), ("/small", 413), ("/refuse", 401)] {
        let mut client = Raw(TcpStream::connect(addr).await.unwrap());
        let head = format!("POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: 5000000\r\n\r\n");
        client.send(&head).await;
        for _ in 0..20 {
            let sent = client.0.write_all(&[b'x'; 1024]).await;
            sent.expect("no reset while it uploads");
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(client.answer().await.unwrap().status, status);
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_bounds_how_long_a_close_lingers() {
    let (server, clients) = start(HttpLayer::new(), router()).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("POST /get HTTP/1.1\r\nhost: here\r\ncontent-length: 5000000\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 405);
    let began = Instant::now();
    let uploading = async {
        while client.0.write_all(&[0; 100]).await.is_ok() {
            sleep(SECOND / 4).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        report = server.drain(60 * SECOND) => assert_eq!(report.aborted, 0),
        () = uploading => {}
    }
    assert_eq!(began.elapsed().as_secs(), 1);
}
