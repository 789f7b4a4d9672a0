//! Slow, silent and oversized clients reach a limit. Clients that are merely idle are closed in
//! order.

use super::{Answer, Count, H2, Raw, SECOND, answer, start};
use crate::support::Served;
use ::http::{Request, Response};
use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get, post},
};
use http_body_util::{BodyExt, Full};
use reagent::Outcome;
use reagent_layers::http::{HttpLayer, RequestBody};
use std::{convert::Infallible, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};
use tower::service_fn;

async fn hello(_: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

/// Returns the outcome of connection `id`, and the seconds until then.
async fn ended(server: &Served, id: u64) -> (String, u64) {
    let began = Instant::now();
    let outcome = server.ends.of(id).await;
    (outcome.to_string(), began.elapsed().as_secs())
}

fn timed_out(kind: &str, seconds: u64) -> (String, u64) {
    (format!("timed out: {kind}"), seconds)
}

#[tokio::test(start_paused = true)]
async fn silent_clients_are_ended_at_the_first_byte_timeout() {
    let (server, clients) = start(HttpLayer::new(), service_fn(hello)).await;
    let _client = clients.connect().await.unwrap();
    assert_eq!(ended(&server, 1).await, timed_out("first byte", 30));

    let layer = HttpLayer::new().first_byte_timeout(5 * SECOND);
    let (server, clients) = start(layer, service_fn(hello)).await;
    let _client = clients.connect().await.unwrap();
    assert_eq!(ended(&server, 1).await, timed_out("first byte", 5));
}

#[tokio::test(start_paused = true)]
async fn a_preface_in_parts_is_bounded_too() {
    let (server, clients) = start(HttpLayer::new(), service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    let dribble = async {
        for byte in "PRI * HTTP/2.0\r\n\r\nSM\r\n\r".chars() {
            client.send(&byte.to_string()).await;
            sleep(SECOND).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = ended(&server, 1) => assert_eq!(ended, timed_out("http header", 30)),
        () = dribble => {}
    }
}

/// hyper and h2 would wait for the rest without a limit, and ignore a drain.
#[tokio::test(start_paused = true)]
async fn a_part_of_a_preface_is_bounded_by_the_first_byte_and_by_a_drain() {
    let whole = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = "\0\0\x06\x04\0\0\0\0\0\0\x03";
    for layer in [HttpLayer::new(), HttpLayer::new().http2_only()] {
        for part in [
            "P".to_owned(),
            whole[..12].to_owned(),
            whole.to_owned(),
            format!("{whole}\0\0"),
            format!("{whole}{settings}"),
        ] {
            let (server, clients) = start(layer.clone(), service_fn(hello)).await;
            let mut client = Raw(clients.connect().await.unwrap());
            client.send(&part).await;
            assert_eq!(
                ended(&server, 1).await,
                timed_out("http header", 30),
                "{part:?}"
            );

            let (server, clients) = start(layer.clone(), service_fn(hello)).await;
            let mut client = Raw(clients.connect().await.unwrap());
            client.send(&part).await;
            sleep(SECOND / 2).await;
            let report = server.drain(60 * SECOND).await;
            assert_eq!(
                (report.elapsed.as_secs(), report.aborted),
                (1, 0),
                "{part:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_preface_may_come_in_parts_and_with_any_settings() {
    let text = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
    for layer in [HttpLayer::new(), HttpLayer::new().http2_only()] {
        let (server, clients) = start(layer, service_fn(hello)).await;
        let mut client = Raw(clients.connect().await.unwrap());
        for byte in text.chars() {
            client.send(&byte.to_string()).await;
            sleep(SECOND / 10).await;
        }
        let mut settings = [0; 9];
        client.0.read_exact(&mut settings).await.unwrap();
        assert_eq!(settings[3], 4);
        // The connection is idle, so the limit for idle connections applies.
        assert_eq!(ended(&server, 1).await.0, "timed out: http ping");
    }
    // Anything but a SETTINGS frame is refused at once.
    let (server, clients) = start(HttpLayer::new(), service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0")
        .await;
    let (outcome, after) = ended(&server, 1).await;
    assert!(
        outcome.starts_with("failed: ") && after == 0,
        "{outcome} {after}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_in_parts_is_ended_wherever_it_stands() {
    let layer = HttpLayer::new().header_timeout(10 * SECOND);
    let (server, clients) = start(layer, service_fn(hello)).await;
    // The first request of a connection, one byte per second.
    let mut first = Raw(clients.connect().await.unwrap());
    let dribble = async {
        sleep(3 * SECOND).await;
        for byte in "GET / HTTP/1.1\r\nhost: ".chars() {
            if first.0.write_all(&[byte as u8]).await.is_err() {
                break;
            }
            sleep(SECOND).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = ended(&server, 1) => assert_eq!(ended, timed_out("http header", 13)),
        () = dribble => {}
    }
    assert_eq!(first.rest().await, "");

    // A later request. The idle time before it does not count.
    let mut second = Raw(clients.connect().await.unwrap());
    assert_eq!(second.get("/").await.body, "hello");
    sleep(25 * SECOND).await;
    second.send("GET / HTTP").await;
    assert_eq!(ended(&server, 2).await, timed_out("http header", 10));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_and_that_is_no_error() {
    let layer = HttpLayer::new().keep_alive_timeout(60 * SECOND);
    let (server, clients) = start(layer, service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, "hello");
        sleep(59 * SECOND).await;
    }
    assert_eq!(ended(&server, 1).await, ("completed".into(), 1));
    assert_eq!(client.rest().await, "");

    let mut client = H2::new(clients.connect().await.unwrap()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.unwrap().1, "hello");
        sleep(59 * SECOND).await;
    }
    assert_eq!(ended(&server, 2).await, ("completed".into(), 1));
    client.connection.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http2_that_never_asks_is_idle() {
    let (server, clients) = start(HttpLayer::new(), service_fn(hello)).await;
    let client = H2::new(clients.connect().await.unwrap()).await;
    assert_eq!(ended(&server, 1).await, ("completed".into(), 75));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_not_idleness() {
    let slow = get(|| async {
        sleep(600 * SECOND).await;
        "at last"
    });
    let router = Router::new().route("/", slow);
    let (_server, clients) = start(HttpLayer::new(), router).await;
    let mut one = Raw(clients.connect().await.unwrap());
    let mut two = H2::new(clients.connect().await.unwrap()).await;
    let (one, two) = tokio::join!(one.get("/"), two.get("/"));
    assert_eq!(
        (one.body, two.unwrap().1),
        ("at last".into(), "at last".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_the_last_response_slowly_is_not_idle() {
    const SIZE: usize = 300_000;
    let service = service_fn(|_: Request<RequestBody>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(vec![b'x'; SIZE])))
    });
    let layer = HttpLayer::new().keep_alive_timeout(10 * SECOND);
    let (server, clients) = start(layer, service).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let mut got = 0;
    let mut part = vec![0; 10_000];
    while got < SIZE {
        sleep(5 * SECOND).await;
        got += client.0.read(&mut part).await.unwrap();
    }
    assert_eq!(ended(&server, 1).await.0, "completed");
}

/// Responds before it has read the body, which another task does.
async fn accept(request: Request<RequestBody>, got: Count) -> Response<Full<Bytes>> {
    #[expect(clippy::disallowed_methods, reason = "what a service may do")]
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.frame().await {
            got.add();
        }
    });
    Response::new(Full::from("accepted"))
}

#[tokio::test(start_paused = true)]
async fn a_body_may_be_read_for_long_though_its_request_was_answered() {
    let got = Count::default();
    let service = {
        let got = got.clone();
        service_fn(move |request| {
            let got = got.clone();
            async move { Ok::<_, Infallible>(accept(request, got).await) }
        })
    };
    let layer = HttpLayer::new()
        .header_timeout(10 * SECOND)
        .stream_idle_timeout(101 * SECOND)
        .keep_alive_timeout(20 * SECOND);
    let (_server, clients) = start(layer, service).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 30\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().body, "accepted");
    for piece in 1..=30 {
        // Longer than every other limit, once.
        sleep(if piece == 10 { 100 * SECOND } else { SECOND }).await;
        client.send("x").await;
        crate::support::until("it is read", || got.now() == piece).await;
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_head_after_a_body_is_bounded() {
    let router = Router::new().route("/", post(|_: Bytes| async { "read" }));
    let layer = HttpLayer::new().header_timeout(10 * SECOND);
    let (server, clients) = start(layer, router).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1\r\n\r\nx")
        .await;
    assert_eq!(client.answer().await.unwrap().body, "read");
    sleep(5 * SECOND).await;
    client.send("GET / HT").await;
    let (_, after) = ended(&server, 1).await;
    assert_eq!(after, 10);
    assert_eq!(client.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_go_is_ended() {
    let layer = HttpLayer::new().header_timeout(20 * SECOND);
    let (server, clients) = start(layer, service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    // Sends a preface and SETTINGS, and never replies to anything.
    client
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let layer_pings_after = 60;
    let ended = ended(&server, 1).await;
    assert_eq!(ended, timed_out("http ping", layer_pings_after + 20));

    let layer = HttpLayer::new()
        .header_timeout(20 * SECOND)
        .http2(without_pings);
    let (server, clients) = start(layer, service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    assert_eq!(
        self::ended(&server, 1).await,
        timed_out("http close", 75 + 20)
    );
}

fn without_pings(
    http2: &mut hyper::server::conn::http2::Builder<reagent_layers::http::StreamExecutor>,
) {
    http2.keep_alive_interval(None);
}

#[tokio::test(start_paused = true)]
async fn without_limits_nothing_is_ended() {
    let layer = HttpLayer::new()
        .first_byte_timeout(None)
        .header_timeout(None)
        .keep_alive_timeout(None);
    let (server, clients) = start(layer, service_fn(hello)).await;
    let mut silent = Raw(clients.connect().await.unwrap());
    let mut half = Raw(clients.connect().await.unwrap());
    half.send("GET / HTTP/1.1\r\n").await;
    let mut idle = Raw(clients.connect().await.unwrap());
    idle.get("/").await;
    sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(server.connection_count(), 3);
    half.send("host: here\r\n\r\n").await;
    for answer in [silent.get("/").await, idle.get("/").await] {
        assert_eq!(answer.body, "hello");
    }
    assert_eq!(half.answer().await.unwrap().body, "hello");
}

async fn refused(layer: HttpLayer, text: &str) -> Answer {
    let served = Count::default();
    let service = {
        let served = served.clone();
        service_fn(move |request| {
            served.add();
            hello(request)
        })
    };
    let (server, clients) = start(layer, service).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send(text).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(client.rest().await, "");
    assert_eq!(served.now(), 0);
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Failed(_)));
    answer
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_and_closed() {
    let fields = |n: usize, size: usize| {
        let field = format!("x: {}\r\n", "y".repeat(size));
        format!("GET / HTTP/1.1\r\nhost: here\r\n{}\r\n", field.repeat(n))
    };
    // 40 KiB in total; a single field of that size; a field without an end; too many fields.
    for text in [
        fields(40, 1024),
        fields(1, 40 * 1024),
        format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(40 * 1024)),
        fields(101, 1),
    ] {
        let answer = refused(HttpLayer::new(), &text).await;
        assert_eq!(answer.status, 431);
    }
    let uri = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    let answer = refused(HttpLayer::new().max_header_bytes(100_000), &uri).await;
    assert_eq!(answer.status, 414);

    let answer = refused(HttpLayer::new().max_headers(5), &fields(5, 1)).await;
    assert_eq!(answer.status, 431);
    let layer = HttpLayer::new().max_header_bytes(1000);
    assert_eq!(refused(layer.clone(), &fields(1, 1000)).await.status, 431);

    // HTTP/2 refuses the stream, and the connection continues.
    let (_server, clients) = start(layer, service_fn(hello)).await;
    let mut client = H2::new(clients.connect().await.unwrap()).await;
    let request = Request::get("http://here/")
        .header("x", "y".repeat(2000))
        .body(())
        .unwrap();
    let mut requests = client.requests.clone().ready().await.unwrap();
    let (response, _) = requests.send_request(request, true).unwrap();
    assert_eq!(super::answer(response).await.unwrap().0, 431);
    assert_eq!(client.get("/").await.unwrap().0, 200);
}

/// On a real socket, where closing with unread bytes resets the connection.
#[tokio::test]
async fn the_last_answer_arrives_though_the_client_is_still_sending() {
    let router = Router::new().route("/", post(|_: Bytes| async { "read" }));
    let server = reagent::Server::bind("127.0.0.1:0")
        .layer(HttpLayer::new())
        .start(router)
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    for (head, status) in [
        // More than axum accepts, and none of it is read.
        (
            "POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 8000000\r\n\r\n",
            413,
        ),
        ("GET / HTTP/1.1\r\nx: ", 431),
    ] {
        let mut client = Raw(tokio::net::TcpStream::connect(addr).await.unwrap());
        client.send(head).await;
        // The client sends as long as it can before it reads the response.
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..60 {
            if client.0.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let answer = client.answer().await.expect("the answer before the end");
        assert_eq!(answer.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_sending_is_read_for_a_moment() {
    let (server, clients) = start(HttpLayer::new(), service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send("nonsense\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 400);
    let sending = async {
        while client.0.write_all(&[0; 1000]).await.is_ok() {
            sleep(SECOND / 10).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        (outcome, after) = ended(&server, 1) => {
            assert!(outcome.starts_with("failed: ") && after == 5, "{outcome} {after}");
        }
        () = sending => {}
    }
}

#[tokio::test(start_paused = true)]
async fn streams_at_once_are_bounded() {
    let present = Count::default();
    let router = {
        let present = present.clone();
        Router::new().route(
            "/",
            get(move || async move {
                let _present = present.enter();
                sleep(SECOND).await;
                assert!(present.now() <= 3);
                Body::from("hello")
            }),
        )
    };
    let (_server, clients) = start(HttpLayer::new().max_concurrent_streams(3), router).await;
    let mut client = H2::new(clients.connect().await.unwrap()).await;
    // The client learns the limit with the first response.
    client.get("/").await.unwrap();
    let mut answers = tokio::task::JoinSet::new();
    let began = Instant::now();
    for _ in 0..9 {
        let response = client.send("/").await;
        answers.spawn(answer(response));
    }
    while let Some(answer) = answers.join_next().await {
        assert_eq!(answer.unwrap().unwrap().1, "hello");
    }
    assert_eq!(began.elapsed().as_secs(), 3);
}
