//! A client that stalls a stream reaches a limit. A slow service does not.

use super::{Count, H2, Raw, SECOND, in_time, start};
use crate::support::until;
use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use futures_util::StreamExt;
use reagent_layers::http::HttpLayer;
use std::{convert::Infallible, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    time::{Instant, sleep},
};

const HOUR: Duration = Duration::from_secs(3600);
const BIG: usize = 256 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `/big` is 256 KiB, `/read` reads the body, `/think` and `/quiet` (which has started its
/// response) take an hour, and `/echo` streams the body back.
fn router(present: &Count) -> Router {
    let (big, read) = (present.clone(), present.clone());
    Router::new()
        .route(
            "/big",
            get(move || {
                let present = big.enter();
                async move {
                    let pieces = futures_util::stream::iter(0..1).map(move |_| {
                        let _ = &present;
                        Ok::<_, Infallible>(vec![b'x'; BIG])
                    });
                    Body::from_stream(pieces)
                }
            }),
        )
        .route(
            "/read",
            post(move |body: Body| {
                let present = read.enter();
                async move {
                    let _present = present;
                    match axum::body::to_bytes(body, usize::MAX).await {
                        Ok(read) => read.len().to_string(),
                        Err(_) => "broken".into(),
                    }
                }
            }),
        )
        .route(
            "/think",
            get(think).post(|body: Body| async move {
                let answer = think().await;
                drop(body);
                answer
            }),
        )
        .route(
            "/quiet",
            get(|| async {
                let pieces = futures_util::stream::unfold(0, |n| async move {
                    sleep(if n == 0 { SECOND } else { HOUR }).await;
                    (n < 2).then_some((Ok::<_, Infallible>("event"), n + 1))
                });
                Body::from_stream(pieces)
            }),
        )
        .route("/echo", post(|body: Body| async { body }))
}

async fn think() -> &'static str {
    sleep(HOUR).await;
    "thought"
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Builds a request head, with indices of HPACK's static table and literals (RFC 7541, appendix A).
fn head(method: u8, path: &str) -> Vec<u8> {
    let mut head = vec![method, 0x86, 0x41, 4];
    head.extend(b"here");
    head.extend([0x44, path.len() as u8]);
    head.extend(path.as_bytes());
    head
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// An HTTP/2 client that acknowledges everything it has to, and does nothing else.
struct Polite {
    reading: ReadHalf<DuplexStream>,
    writing: WriteHalf<DuplexStream>,
    reset: Vec<u32>,
    has_goaway: bool,
    data: usize,
}

impl Polite {
    /// Connects with this initial window for each stream.
    async fn new(stream: DuplexStream, window: u32) -> Self {
        let (reading, mut writing) = tokio::io::split(stream);
        let mut setting = vec![0, 4];
        setting.extend(window.to_be_bytes());
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &setting));
        writing.write_all(&hello).await.unwrap();
        Polite {
            reading,
            writing,
            reset: Vec::new(),
            has_goaway: false,
            data: 0,
        }
    }

    async fn send(&mut self, frame: &[u8]) {
        self.writing.write_all(frame).await.unwrap();
    }

    /// Processes frames until the end of the connection or until `until` returns `true`.
    async fn serve(&mut self, mut until: impl FnMut(&Self) -> bool) {
        while !until(self) {
            let mut head = [0; 9];
            if self.reading.read_exact(&mut head).await.is_err() {
                return;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            if self.reading.read_exact(&mut payload).await.is_err() {
                return;
            }
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            match head[3] {
                SETTINGS if head[4] & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, &[])).await,
                PING if head[4] & ACK == 0 => self.send(&frame(PING, ACK, 0, &payload)).await,
                RST_STREAM => self.reset.push(stream),
                GOAWAY => self.has_goaway = true,
                DATA => self.data += length,
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_window_are_reset_whatever_else_the_client_does() {
    for layer in [
        HttpLayer::new(),
        HttpLayer::new().parallel_streams(true),
        HttpLayer::new().stream_idle_timeout(20 * SECOND),
    ] {
        let limit = match format!("{layer:?}").contains("stream_idle_timeout: Some(20s)") {
            true => 20,
            false => 60,
        };
        let present = Count::default();
        let (server, clients) = start(layer, router(&present)).await;
        let mut client = Polite::new(clients.connect().await.unwrap(), 0).await;
        let began = Instant::now();
        for n in 0..200 {
            let request = frame(
                HEADERS,
                END_STREAM | END_HEADERS,
                2 * n + 1,
                &head(GET, "/big"),
            );
            client.send(&request).await;
        }
        in_time(client.serve(|client| client.reset.len() == 200)).await;
        assert_eq!(began.elapsed().as_secs(), limit);
        assert_eq!((present.now(), client.data), (0, 0));
        // From then on it is idle.
        in_time(client.serve(|_| false)).await;
        assert!(client.has_goaway);
        server.ends.of(1).await;
        assert!(began.elapsed() < Duration::from_secs(200));
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_of_a_byte_makes_nothing_of_an_answer_disappear_in_buffers() {
    let present = Count::default();
    let (_server, clients) = start(HttpLayer::new(), router(&present)).await;
    let mut client = Polite::new(clients.connect().await.unwrap(), 1).await;
    client
        .send(&frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            1,
            &head(GET, "/big"),
        ))
        .await;
    let began = Instant::now();
    in_time(client.serve(|client| !client.reset.is_empty())).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    assert_eq!((present.now(), client.data), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_never_come_are_not_waited_for() {
    let present = Count::default();
    let (_server, clients) = start(HttpLayer::new(), router(&present)).await;
    let mut client = Polite::new(clients.connect().await.unwrap(), 65_535).await;
    for n in 0..200 {
        let request = frame(HEADERS, END_HEADERS, 2 * n + 1, &head(POST, "/read"));
        client.send(&request).await;
    }
    let began = Instant::now();
    in_time(client.serve(|client| client.reset.len() == 200)).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    assert_eq!(present.now(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_in_small_pieces_is_waited_for() {
    let (_server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut client = Polite::new(clients.connect().await.unwrap(), 65_535).await;
    client
        .send(&frame(HEADERS, END_HEADERS, 1, &head(POST, "/read")))
        .await;
    for n in 0..10 {
        let end = if n == 9 { END_STREAM } else { 0 };
        let reading = client.serve(|_| false);
        assert!(
            tokio::time::timeout(50 * SECOND, reading).await.is_err(),
            "it is still open"
        );
        client.send(&frame(DATA, end, 1, b"x")).await;
    }
    in_time(client.serve(|client| client.data > 0)).await;
    assert!(client.reset.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_slowly_arrives() {
    let (_server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut client = Polite::new(clients.connect().await.unwrap(), 0).await;
    client
        .send(&frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            1,
            &head(GET, "/big"),
        ))
        .await;
    let mut window = 0;
    while window < BIG {
        let reading = client.serve(|client| client.data == BIG);
        assert!(tokio::time::timeout(50 * SECOND, reading).await.is_err());
        let step = 20_000u32;
        client
            .send(&frame(WINDOW_UPDATE, 0, 1, &step.to_be_bytes()))
            .await;
        client
            .send(&frame(WINDOW_UPDATE, 0, 0, &step.to_be_bytes()))
            .await;
        window += step as usize;
    }
    in_time(client.serve(|client| client.data == BIG)).await;
    assert!(client.reset.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_may_take_its_time_by_both_versions() {
    let (_server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut one = Raw(clients.connect().await.unwrap());
    let mut posts = Raw(clients.connect().await.unwrap());
    let mut two = H2::new(clients.connect().await.unwrap()).await;
    let quiet = two.send("/quiet").await;
    posts
        .send("POST /think HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhalf")
        .await;
    let mut silent = Raw(clients.connect().await.unwrap());
    silent
        .send("GET /quiet HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
        .await;
    let (a, b, c, d, e) = tokio::join!(
        one.get("/think"),
        two.get("/think"),
        posts.answer(),
        silent.rest(),
        super::answer(quiet)
    );
    assert_eq!(a.body, "thought");
    assert_eq!(b.unwrap().1, "thought");
    assert_eq!(c.unwrap().body, "thought");
    assert_eq!(d.matches("event").count(), 2, "{d}");
    assert_eq!(e.unwrap().1, "eventevent");
}

#[tokio::test(start_paused = true)]
async fn http1_is_ended_by_the_same_limit() {
    // A body that never arrives.
    let (server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut client = Raw(clients.connect().await.unwrap());
    let began = Instant::now();
    client
        .send("POST /read HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhalf")
        .await;
    let outcome = server.ends.of(1).await;
    assert_eq!(outcome.to_string(), "timed out: http stream idle");
    assert_eq!(began.elapsed().as_secs(), 60);

    // A response that is not read, while nothing is read from the client.
    let layer = HttpLayer::new().stream_idle_timeout(20 * SECOND);
    let (server, clients) = start(layer, router(&Count::default())).await;
    let mut client = Raw(clients.connect().await.unwrap());
    let began = Instant::now();
    client.send("GET /big HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let outcome = server.ends.of(1).await;
    assert_eq!(outcome.to_string(), "timed out: http stream idle");
    assert_eq!(began.elapsed().as_secs(), 20);

    // Without a limit they stay open.
    let layer = HttpLayer::new().stream_idle_timeout(None);
    let (server, clients) = start(layer, router(&Count::default())).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("POST /read HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhalf")
        .await;
    sleep(24 * HOUR).await;
    assert_eq!(server.connection_count(), 1);
    client.send("x").await;
    assert_eq!(client.answer().await.unwrap().body, "5");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_in_both_directions_may_be_silent_for_long() {
    let layer = HttpLayer::new().upgraded_idle_timeout(2 * HOUR);
    let (server, clients) = start(layer, router(&Count::default())).await;
    let mut client = Polite::new(clients.connect().await.unwrap(), 65_535).await;
    client
        .send(&frame(HEADERS, END_HEADERS, 1, &head(POST, "/echo")))
        .await;
    client.send(&frame(DATA, 0, 1, b"one")).await;
    in_time(client.serve(|client| client.data == 3)).await;
    let reading = client.serve(|_| false);
    assert!(tokio::time::timeout(HOUR, reading).await.is_err());
    client.send(&frame(DATA, 0, 1, b"two")).await;
    let began = Instant::now();
    client.serve(|client| !client.reset.is_empty()).await;
    assert_eq!((client.data, began.elapsed()), (6, 2 * HOUR));
    until("it is open", || server.connection_count() == 1).await;
}

/// The unread response would otherwise stay in the kernel indefinitely.
#[tokio::test]
async fn a_client_that_takes_nothing_is_reset() {
    let ends = crate::support::Ends::default();
    let service = tower::service_fn(async |_: ::http::Request<_>| {
        let body = http_body_util::Full::<bytes::Bytes>::from(vec![0; 32 << 20]);
        Ok::<_, Infallible>(::http::Response::new(body))
    });
    let layer = HttpLayer::new().stream_idle_timeout(Duration::from_millis(100));
    let server = reagent::Server::bind("127.0.0.1:0")
        .observe(ends.clone())
        .layer(layer)
        .start(service)
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(ends.of(1).await.to_string(), "timed out: http stream idle");
    let mut answer = Vec::new();
    let error = in_time(client.read_to_end(&mut answer)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
