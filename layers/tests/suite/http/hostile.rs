//! Malicious clients: request smuggling, floods, endless bodies.

use super::{Count, H2, Raw, SECOND, in_time, start};
use crate::support::until;
use ::http::{Request, Response};
use axum::{Router, body::Bytes, routing::post};
use http_body_util::{BodyExt, Full};
use reagent::{Outcome, Server, testing::MemoryListener};
use reagent_layers::http::{HttpLayer, RequestBody};
use std::{convert::Infallible, future::pending};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};
use tower::service_fn;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Builds a frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// `GET / http here`, as indices of HPACK's static table and a literal (RFC 7541, appendix A).
const GET: &[u8] = b"\x82\x84\x86\x41\x04here";

/// Sends the text. Returns the output, and the paths that reached the service, which reads bodies
/// whole.
async fn answers(text: &str) -> (String, Vec<String>) {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let service = {
        let seen = seen.clone();
        service_fn(move |request: Request<RequestBody>| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push(request.uri().path().to_owned());
                let body = request.into_body().collect().await?.to_bytes();
                hyper::Result::Ok(Response::new(Full::new(body)))
            }
        })
    };
    let (_server, clients) = start(HttpLayer::new(), service).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send(text).await;
    client.0.shutdown().await.unwrap();
    let rest = client.rest().await;
    let seen = seen.lock().unwrap().clone();
    (rest, seen)
}

#[tokio::test]
async fn nothing_is_smuggled_behind_two_lengths() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: here\r\n\r\n";
    for lengths in [
        "content-length: 50\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 50",
        "transfer-encoding: chunked",
        "transfer-encoding: identity, chunked",
    ] {
        let text =
            format!("POST /one HTTP/1.1\r\nhost: here\r\n{lengths}\r\n\r\n0\r\n\r\n{smuggled}");
        let (answer, seen) = answers(&text).await;
        assert_eq!(seen, ["/one"], "{lengths}: {answer}");
        assert!(answer.contains("connection: close"), "{lengths}: {answer}");
    }
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_not_read() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: here\r\n\r\n";
    for head in [
        "POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 3, 5\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: +3\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length : 3\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding : chunked\r\n\r\n",
        "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: here\r\n content-length: 3\r\n\r\n",
        "POST / HTTP/1.1\r\nx: a\0b\r\n\r\n",
        "POST / HTTP/1.1\r\nx: a\rcontent-length: 3\r\n\r\n",
        "POST /a b HTTP/1.1\r\n\r\n",
        "POST / HTTP/3.1\r\n\r\n",
    ] {
        let (answer, seen) = answers(&format!("{head}{smuggled}")).await;
        assert!(seen.is_empty(), "{head:?} gave {seen:?}");
        assert!(
            answer.starts_with("HTTP/1.1 400 "),
            "{head:?} gave {answer:?}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            1,
            "{head:?} gave {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_request_names_one_host_that_is_valid() {
    let after = "GET /after HTTP/1.1\r\nhost: here\r\n\r\n";
    for fields in [
        "GET /one HTTP/1.1\r\n",
        "GET /one HTTP/1.1\r\nhost: here\r\nhost: here\r\n",
        "GET /one HTTP/1.1\r\nhost: here\r\nhost: there\r\n",
        "GET /one HTTP/1.1\r\nhost: a b/c\r\n",
        "GET /one HTTP/1.1\r\nhost: user@here\r\n",
        "GET /one HTTP/1.1\r\nhost: here:80:80\r\n",
        "GET http://here/one HTTP/1.1\r\n",
        "GET /one HTTP/1.0\r\nconnection: keep-alive\r\nhost: here\r\nhost: here\r\n",
        "POST /one HTTP/1.1\r\ncontent-length: 3\r\n",
    ] {
        let (answer, seen) = answers(&format!("{fields}\r\n{after}")).await;
        assert!(seen.is_empty(), "{fields:?} gave {seen:?}");
        let line = answer.get(8..13).unwrap_or_default();
        assert_eq!(line, " 400 ", "{fields:?} gave {answer:?}");
        assert!(
            answer.contains("connection: close"),
            "{fields:?} gave {answer:?}"
        );
        assert_eq!(
            answer.matches("HTTP/1.").count(),
            1,
            "{fields:?} gave {answer:?}"
        );
    }
    for fields in [
        "GET /one HTTP/1.0\r\n",
        "GET /one HTTP/1.1\r\nhost:\r\n",
        "GET /one HTTP/1.1\r\nhost: [::1]:80\r\n",
        "GET http://here/one HTTP/1.1\r\nhost: here\r\n",
    ] {
        let (answer, seen) = answers(&format!("{fields}\r\n{after}")).await;
        assert_eq!(seen[0], "/one", "{fields:?} gave {answer:?}");
    }
}

#[tokio::test]
async fn with_http2_the_host_is_the_authority() {
    let service = service_fn(|_: Request<RequestBody>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
    });
    let (_server, clients) = start(HttpLayer::new(), service).await;
    let client = H2::new(clients.connect().await.unwrap()).await;
    for (uri, hosts, status) in [
        ("http://here/", &[][..], 200),
        ("http://here/", &["here"], 200),
        ("http://here/", &["HERE:80"], 200),
        ("http://here/", &["there"], 400),
        ("http://here/", &["here:81"], 400),
        ("http://here/", &["here", "here"], 400),
        ("http://here/", &["a b/c"], 400),
    ] {
        let mut request = Request::get(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        let mut requests = in_time(client.requests.clone().ready()).await.unwrap();
        let (response, _) = requests
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        assert_eq!(
            super::answer(response).await.unwrap().0,
            status,
            "{uri} {hosts:?}"
        );
    }
}

#[tokio::test]
async fn chunks_that_are_none_give_the_service_an_error_and_no_second_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: here\r\n\r\n";
    for chunks in [
        "x\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "-1\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        // The client leaves in the middle of a chunk.
        "5\r\nabc",
    ] {
        let head = "POST /one HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n";
        let (answer, seen) = answers(&format!("{head}{chunks}{smuggled}")).await;
        assert_eq!(seen, ["/one"], "{chunks:?}");
        assert!(!answer.contains(" 200 "), "{chunks:?} gave {answer:?}");
    }
}

#[tokio::test]
async fn half_a_request_never_reaches_the_service() {
    for text in ["G", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nhost: here\r\n"] {
        let (_, seen) = answers(text).await;
        assert!(seen.is_empty(), "{text:?}");
    }
    // For the service, half a body is an error.
    let (answer, seen) =
        answers("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\nhalf").await;
    assert_eq!((answer.as_str(), seen.len()), ("", 1));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_half_open_requests_are_gone_after_their_time() {
    const FLEET: usize = 1000;
    let (listener, clients) = MemoryListener::new();
    let served = Count::default();
    let service = {
        let served = served.clone();
        service_fn(move |_: Request<RequestBody>| {
            served.add();
            async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello"))) }
        })
    };
    let server = Server::new(listener)
        .max_connections(FLEET + 1)
        .layer(HttpLayer::new())
        .start(service)
        .await
        .unwrap();
    let mut fleet = Vec::new();
    for n in 0..FLEET {
        let mut stream = clients.connect().await.unwrap();
        stream
            .write_all(&b"GET / HTTP/1.1\r\nhost: here\r\nx: "[..n % 31])
            .await
            .unwrap();
        fleet.push(stream);
    }
    // They do not keep an honest client out.
    let mut honest = Raw(clients.connect().await.unwrap());
    assert_eq!(honest.get("/").await.body, "hello");
    assert_eq!(server.connection_count(), FLEET + 1);
    sleep(31 * SECOND).await;
    assert_eq!(server.connection_count(), 1);
    assert_eq!(server.stats().timed_out, FLEET as u64);
    assert_eq!(served.now(), 1);
    assert_eq!(honest.get("/").await.body, "hello");
}

/// An HTTP/2 client that sends the frames of `next` until it is stopped. Returns their number.
async fn flood(next: impl Fn(u32) -> Vec<u8>, most: u32) -> (u32, Outcome, usize) {
    let served = Count::default();
    let service = {
        let served = served.clone();
        service_fn(move |_: Request<RequestBody>| {
            served.add();
            pending::<Result<Response<Full<Bytes>>, Infallible>>()
        })
    };
    let (server, clients) = start(HttpLayer::new(), service).await;
    let (mut reading, mut writing) = tokio::io::split(clients.connect().await.unwrap());
    let mut sent = 0;
    let sending = async {
        writing.write_all(PREFACE).await.unwrap();
        writing
            .write_all(&frame(SETTINGS, 0, 0, &[]))
            .await
            .unwrap();
        while sent < most && writing.write_all(&next(sent)).await.is_ok() {
            sent += 1;
        }
        assert!(sent < most, "nobody stopped it");
    };
    let reading = async {
        let mut all = Vec::new();
        let _ = reading.read_to_end(&mut all).await;
    };
    in_time(async { tokio::join!(sending, reading) }).await;
    let outcome = server.ends.of(1).await;
    (sent, outcome, served.now())
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    // CVE-2023-44487.
    let (_, outcome, served) = flood(
        |n| {
            let stream = 2 * n + 1;
            let mut pair = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
            pair.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
            pair
        },
        100_000,
    )
    .await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome}");
    assert!(served < 10_000, "{served}");
}

#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    // VU#421644.
    let header = {
        let mut header = vec![0x00, 0x01, b'x', 0x7f];
        // The number 1,000, as 127 + 873 in groups of seven bits.
        header.extend([0xe9, 0x06]);
        header.extend(vec![b'y'; 1000]);
        header
    };
    let (sent, outcome, served) = flood(
        |n| match n {
            0 => frame(HEADERS, END_STREAM, 1, GET),
            _ => frame(CONTINUATION, 0, 1, &header),
        },
        100_000,
    )
    .await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome}");
    assert_eq!(served, 0);
    // The pipe holds 64 KiB beyond the bytes that were read.
    assert!(sent < 1000, "{sent}");
}

#[tokio::test]
async fn empty_continuations_end_it_as_well() {
    let (sent, outcome, served) = flood(
        |n| match n {
            0 => frame(HEADERS, END_STREAM, 1, GET),
            _ => frame(CONTINUATION, 0, 1, &[]),
        },
        100_000,
    )
    .await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome}");
    assert_eq!((served, sent < 20_000), (0, true), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_body_without_an_end_takes_no_memory_where_nobody_reads_it() {
    let service = service_fn(|request: Request<RequestBody>| async move {
        let _held = request;
        pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let (server, clients) = start(HttpLayer::new(), service).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 99999999999\r\n\r\n")
        .await;
    let endless = async {
        loop {
            client.0.write_all(&[b'x'; 10_000]).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(60 * SECOND, endless).await.is_err());
    let read = server.connection(1).unwrap().bytes_read();
    assert!(read < 1024 * 1024, "{read}");
}

#[tokio::test]
async fn a_body_without_an_end_is_refused_by_its_size() {
    let router = Router::new().route("/", post(|_: Bytes| async { "read" }));
    let (server, clients) = start(HttpLayer::new(), router).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let (mut reading, mut writing) = tokio::io::split(client.0);
    let endless = async {
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let mut sent = 0;
        while writing.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 1;
            assert!(sent < 10_000);
        }
    };
    let mut answer = String::new();
    let ((), read) =
        in_time(async { tokio::join!(endless, reading.read_to_string(&mut answer)) }).await;
    read.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    server.ends.of(1).await;
}

#[cfg(feature = "timeout")]
#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_ended_by_the_layer_of_timeouts() {
    use reagent_layers::timeout::TimeoutsLayer;
    let (listener, clients) = MemoryListener::new();
    let ends = crate::support::Ends::default();
    let router = Router::new().route("/", post(|_: Bytes| async { "read" }));
    let _server = Server::new(listener)
        .observe(ends.clone())
        .layer(TimeoutsLayer::new().idle(20 * SECOND))
        .layer(HttpLayer::new())
        .start(router)
        .await
        .unwrap();
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    let began = Instant::now();
    let outcome = ends.of(1).await;
    assert_eq!(
        (outcome.to_string().as_str(), began.elapsed().as_secs()),
        ("timed out: idle", 20)
    );
}

#[tokio::test]
async fn nothing_of_a_hostile_client_is_left() {
    let present = Count::default();
    let service = {
        let present = present.clone();
        service_fn(move |request: Request<RequestBody>| {
            let present = present.enter();
            async move {
                let _present = present;
                let _ = request.into_body().collect().await?;
                hyper::Result::Ok(Response::new(Full::<Bytes>::default()))
            }
        })
    };
    let (server, clients) = start(HttpLayer::new(), service).await;
    for n in 0..200 {
        let mut client = Raw(clients.connect().await.unwrap());
        let head = "POST / HTTP/1.1\r\nhost: here\r\n";
        client
            .send(&match n % 4 {
                0 => format!("{head}content-length: 5\r\n\r\nhal"),
                1 => format!("{head}transfer-encoding: chunked\r\n\r\nx\r\n"),
                2 => format!("{head}x: {}", "y".repeat(40_000)),
                _ => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense that is no frame".into(),
            })
            .await;
    }
    until("all are gone", || {
        server.connection_count() == 0 && present.now() == 0
    })
    .await;
}
