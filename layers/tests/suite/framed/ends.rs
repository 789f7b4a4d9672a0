//! Errors, closes and drains.

use super::{Client, SECOND, after, failed, lines, same, start};
use crate::support::{LONG, until};
use bytes::BytesMut;
use reagent::{BoxError, Linger, Outcome, Server};
use reagent_layers::framed::{
    FrameError, FramedLayer, OnError,
    codec::{Decoder, Encoder, LinesCodec},
};
use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    io,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};
use tower::{Service, service_fn};

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_ends_the_connection_unless_told_otherwise() {
    for (then, answers, outcome) in [
        (OnError::Close, "1\n", "failed"),
        (
            OnError::AnswerAndClose("oh".to_owned()),
            "1\noh\n",
            "failed",
        ),
        (OnError::Answer("oh".to_owned()), "1\noh\n2\n", "completed"),
    ] {
        let layer = lines().on_error(move |error| {
            assert!(matches!(error, FrameError::Service(_)));
            then.clone()
        });
        let (server, clients) = start(layer, service_fn(after)).await;
        let mut client = Client::new(&clients).await;
        client.send("1\nx\n2\n").await;
        client.0.shutdown().await.unwrap();
        assert_eq!(client.rest().await, answers);
        assert_eq!(server.ends.of(1).await.as_str(), outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn decode_errors_are_answered_after_the_pending_answers() {
    let layer = FramedLayer::new(LinesCodec::new_with_max_length(10))
        .in_flight(5)
        .on_error(|error| OnError::Answer(error.to_string()));
    let (server, clients) = start(layer, service_fn(after)).await;
    let mut client = Client::new(&clients).await;
    client.send("100\n50\ntoo long for this codec\n1\n").await;
    // This codec cannot continue after the error.
    assert_eq!(
        client.rest().await,
        "100\n50\ninvalid frame: max line length exceeded\n"
    );
    drop(client);
    assert_eq!(
        failed(&server.ends.of(1).await),
        "invalid frame: max line length exceeded"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_never_ready_again_ends_the_connection() {
    #[derive(Clone)]
    struct Once(bool);

    impl Service<String> for Once {
        type Response = String;
        type Error = BoxError;
        type Future = Ready<Result<String, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(if self.0 {
                Err("worn out".into())
            } else {
                Ok(())
            })
        }

        fn call(&mut self, line: String) -> Self::Future {
            self.0 = true;
            ready(Ok(line))
        }
    }

    let layer = lines().on_error(|error| OnError::Answer(error.to_string()));
    let (server, clients) = start(layer, Once(false)).await;
    let mut client = Client::new(&clients).await;
    client.send("a\nb\nc\n").await;
    assert_eq!(client.rest().await, "a\nservice error: worn out\n");
    drop(client);
    assert_eq!(failed(&server.ends.of(1).await), "service error: worn out");
}

/// Fails in the middle of encoding a `b`.
#[derive(Clone)]
struct NoB;

impl Decoder for NoB {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        LinesCodec::new().decode(src).map_err(io::Error::other)
    }
}

impl Encoder<String> for NoB {
    type Error = io::Error;

    fn encode(&mut self, line: String, out: &mut BytesMut) -> io::Result<()> {
        out.extend_from_slice(line.as_bytes());
        if line == "b" {
            return Err(io::Error::other("no b"));
        }
        out.extend_from_slice(b"\n");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_an_answer_that_cannot_be_encoded() {
    let layer = FramedLayer::new(NoB).on_error(|error| OnError::AnswerAndClose(error.to_string()));
    let (_server, clients) = start(layer, service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    client.send("a\nb\nc\n").await;
    assert_eq!(client.rest().await, "a\ncould not encode an answer: no b\n");
}

#[tokio::test(start_paused = true)]
async fn a_last_answer_closes() {
    let layer = lines().close_after(|line| line == "bye");
    let (server, clients) = start(layer, service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    client.send("a\nbye\nb\n").await;
    assert_eq!(client.rest().await, "a\nbye\n");
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_came_in_full_and_no_half() {
    let (server, clients) = start(lines(), service_fn(after)).await;
    let mut busy = Client::new(&clients).await;
    busy.send("3000\n10\n20\n30").await;
    let mut idle = Client::new(&clients).await;
    sleep(SECOND).await;
    let began = Instant::now();
    let clients = async {
        assert_eq!(idle.rest().await, "");
        assert!(began.elapsed() < SECOND);
        drop(idle);
        assert_eq!(busy.rest().await, "3000\n10\n20\n");
        drop(busy);
    };
    let (report, ()) = tokio::join!(server.drain(60 * SECOND), clients);
    assert_eq!((report.finished, report.aborted), (2, 0));
    for id in [1, 2] {
        assert!(matches!(server.ends.of(id).await, Outcome::Drained));
    }
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_in_return_has_a_second() {
    let (server, clients) = start(lines(), service_fn(same)).await;
    let mut client = Client::new(&clients).await;
    client.send("x\n").await;
    assert_eq!(client.line().await, "x");
    let began = Instant::now();
    let report = server.drain(60 * SECOND).await;
    assert_eq!((report.finished, began.elapsed().as_secs()), (1, 1));
}

// On the real clock, since a paused one advances only when everything is idle.
#[tokio::test]
async fn a_drain_does_not_read_for_ever() {
    let layer = lines().linger(Linger::new().total(SECOND / 20));
    let (server, clients) = start(layer, service_fn(same)).await;
    let (mut reader, mut writer) = tokio::io::split(clients.connect().await.unwrap());
    let flood = async {
        while writer.write_all(&[b'\n'; 1024]).await.is_ok() {}
        pending::<()>().await;
    };
    let swallow = async {
        let mut buf = vec![0; 64 * 1024];
        while reader.read(&mut buf).await.unwrap() > 0 {}
        pending::<()>().await;
    };
    let draining = async {
        until("the flood flows", || {
            let conn = server.connection(1);
            conn.is_some_and(|conn| conn.bytes_written() > 100_000)
        })
        .await;
        server.drain(LONG).await
    };
    tokio::select! {
        report = draining => assert_eq!((report.finished, report.aborted), (1, 0)),
        () = flood => {}
        () = swallow => {}
    }
}

/// On a real socket, where closing with unread bytes resets the connection.
#[tokio::test]
async fn the_last_answer_arrives_however_much_the_client_still_sends() {
    for _ in 0..20 {
        let layer = lines().close_after(|line| line == "bye");
        let server = Server::bind("127.0.0.1:0")
            .layer(layer)
            .start(service_fn(|line| ready(Ok::<_, Infallible>(line))))
            .await
            .unwrap();
        let addr = server.local_addr().socket_addr().unwrap();
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(b"bye\n").await.unwrap();
        let more = vec![b'\n'; 1024 * 1024];
        let (mut reader, mut writer) = client.split();
        // After the server has closed, writes may fail but reads must not.
        let _ = writer.write_all(&more).await;
        let mut answer = String::new();
        reader.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "bye\n");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_dropped_with_their_connection() {
    // The service holds the outer `Arc`, and a request in progress the inner one.
    let held = Arc::new(Arc::new(()));
    let service = service_fn({
        let held = held.clone();
        move |line: String| {
            let held = Arc::clone(&held);
            async move {
                let _held = Arc::clone(&*held);
                match &*line {
                    "fail" => sleep(SECOND).await,
                    _ => pending().await,
                }
                Err::<String, _>(BoxError::from("failed"))
            }
        }
    });
    let (_server, clients) = start(lines().in_flight(3), service).await;
    let mut client = Client::new(&clients).await;
    client.send("fail\na\nb\n").await;
    sleep(SECOND / 2).await;
    assert_eq!(Arc::strong_count(&*held), 4);
    // This must not wait for the client to close.
    assert_eq!(client.rest().await, "");
    assert_eq!(Arc::strong_count(&*held), 1);
}
