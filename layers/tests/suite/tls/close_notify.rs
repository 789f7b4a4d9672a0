//! When `close_notify` is sent. It never makes a truncated stream look complete.

use super::{
    pki::{BOTH, Ca, Dir},
    running::{connect, localhost},
};
use crate::support::Ends;
use reagent::{
    BoxError, BoxIo, Connection, ConnectionService, Server, ServerHandle, handle,
    testing::MemoryListener,
};
use reagent_layers::tls::{TlsIo, TlsLayer};
use std::{future::pending, io, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::client::TlsStream;

const SECOND: Duration = Duration::from_secs(1);

struct Site {
    _dir: Dir,
    ca: Ca,
    tls: TlsLayer,
}

impl Site {
    fn new() -> Self {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let tls = localhost(&dir, &ca);
        Site { _dir: dir, ca, tls }
    }

    /// Starts a server and connects a client.
    async fn start<S>(&self, service: S) -> (ServerHandle, Ends, TlsStream<DuplexStream>)
    where
        S: ConnectionService<TlsIo<BoxIo>> + Clone,
    {
        let (listener, clients) = MemoryListener::new();
        let ends = Ends::default();
        let server = Server::new(listener)
            .layer(self.tls.clone())
            .observe(ends.clone())
            .start(service)
            .await
            .unwrap();
        let config = Arc::new(self.ca.believer(BOTH));
        let client = connect(&clients, &config, "localhost").await.unwrap();
        (server, ends, client)
    }
}

/// Reads to the end. Returns the number of bytes, and whether `close_notify` arrived.
async fn rest(client: &mut TlsStream<DuplexStream>) -> (usize, bool) {
    let mut received = Vec::new();
    match client.read_to_end(&mut received).await {
        Ok(_) => (received.len(), true),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            (received.len(), false)
        }
    }
}

/// Sends half a response, and then does nothing.
async fn half(mut conn: Connection) -> io::Result<()> {
    conn.write_all(b"half").await?;
    conn.flush().await?;
    pending().await
}

async fn delimited(conn: Connection) -> io::Result<()> {
    conn.set_delimited();
    half(conn).await
}

#[tokio::test(start_paused = true)]
async fn an_abort_sends_close_notify_where_it_cannot_hide_a_cut() {
    let site = Site::new();
    for (is_delimited, by_drain) in [(true, true), (true, false), (false, true), (false, false)] {
        let service = handle(move |conn| async move {
            match is_delimited {
                true => delimited(conn).await,
                false => half(conn).await,
            }
        });
        let (server, ends, mut client) = site.start(service).await;
        client.read_exact(&mut [0; 4]).await.unwrap();
        match by_drain {
            true => assert_eq!(server.drain(SECOND).await.aborted, 1),
            false => server.connection(1).unwrap().abort(),
        }
        assert_eq!(rest(&mut client).await, (0, is_delimited));
        assert_eq!(ends.of(1).await.to_string(), "aborted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_returns_or_panics_is_no_orderly_end_by_itself() {
    let site = Site::new();
    for (end, notifies) in [("ok", true), ("error", true), ("panic", false)] {
        let service = handle(move |mut conn: Connection| async move {
            conn.set_delimited();
            conn.write_all(b"line\n").await?;
            conn.flush().await?;
            match end {
                "ok" => Ok(()),
                "error" => Err(io::Error::other("no")),
                _ => panic!("on purpose"),
            }
        });
        let (_server, _, mut client) = site.start(service).await;
        assert_eq!(rest(&mut client).await, (5, notifies), "{end}");
    }
    let service = handle(|mut conn: Connection| async move {
        conn.write_all(b"half").await?;
        conn.flush().await
    });
    let (_server, _, mut client) = site.start(service).await;
    assert_eq!(rest(&mut client).await, (4, false));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_a_write_that_is_cut_off() {
    let site = Site::new();
    let service = handle(|mut conn: Connection| async move {
        conn.set_delimited();
        conn.write_all(&[7; 1 << 20]).await
    });
    let (server, ends, mut client) = site.start(service).await;
    // It writes until the client has to read.
    tokio::time::sleep(SECOND).await;
    server.connection(1).unwrap().abort();
    assert_eq!(ends.of(1).await.to_string(), "aborted");
    let (received, is_notified) = rest(&mut client).await;
    assert!(received < 1 << 20 && !is_notified);
}

#[tokio::test(start_paused = true)]
async fn records_that_the_socket_has_not_taken_are_followed_by_nothing() {
    let site = Site::new();
    // More than the pipe has room for. The session accepts it nevertheless.
    let service = handle(|mut conn: Connection| async move {
        conn.set_delimited();
        let mut written = 0;
        while conn.handle().bytes_written() < 60_000 {
            written += conn.write(&[7; 1000]).await?;
        }
        for _ in 0..8 {
            written += conn.write(&[7; 1000]).await?;
        }
        assert!(written > 60_000);
        pending::<io::Result<()>>().await
    });
    let (server, ends, mut client) = site.start(service).await;
    tokio::time::sleep(SECOND).await;
    server.connection(1).unwrap().abort();
    assert_eq!(ends.of(1).await.to_string(), "aborted");
    assert!(!rest(&mut client).await.1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_to_be_reset_says_nothing() {
    let site = Site::new();
    let service = handle(|conn: Connection| async move {
        conn.set_delimited();
        conn.handle().reset_on_close();
        io::Result::Ok(())
    });
    let (_server, _, mut client) = site.start(service).await;
    assert_eq!(rest(&mut client).await, (0, false));
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_handshake_sends_nothing() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .layer(localhost(&dir, &ca))
        .start(handle(delimited))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    while server.connection_count() == 0 {
        tokio::task::yield_now().await;
    }
    server.connection(1).unwrap().abort();
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"");
}

#[cfg(all(feature = "timeout", feature = "bandwidth"))]
#[tokio::test(start_paused = true)]
async fn time_limits_within_and_without_send_it() {
    use reagent_layers::{
        bandwidth::{BandwidthLayer, BandwidthLimits, Rate},
        timeout::TimeoutsLayer,
    };
    use tower::{ServiceBuilder, timeout::TimeoutLayer};

    async fn waits(mut conn: Connection) -> Result<(), BoxError> {
        conn.set_delimited();
        conn.read_u8().await?;
        Ok(())
    }
    let site = Site::new();
    let limits = TimeoutsLayer::new().idle(30 * SECOND).first_byte(None);
    let rate = BandwidthLimits::new().per_connection(Rate::new(1 << 20));
    macro_rules! ends {
        ($($stack:expr => $outcome:literal),+ $(,)?) => {$({
            let (listener, clients) = MemoryListener::new();
            let ends = Ends::default();
            let _server = Server::new(listener)
                .observe(ends.clone())
                .layer($stack)
                .start(handle(waits))
                .await
                .unwrap();
            let config = Arc::new(site.ca.believer(BOTH));
            let mut client = connect(&clients, &config, "localhost").await.unwrap();
            assert_eq!(rest(&mut client).await, (0, true), $outcome);
            assert_eq!(ends.of(1).await.to_string(), $outcome);
        })+};
    }
    let tls = || site.tls.clone();
    ends!(
        ServiceBuilder::new().layer(tls()).layer(limits.clone()) => "timed out: idle",
        ServiceBuilder::new().layer(limits.clone()).layer(tls()) => "timed out: idle",
        ServiceBuilder::new().layer(TimeoutLayer::new(SECOND)).layer(tls()) => "timed out: lifetime",
        ServiceBuilder::new()
            .layer(TimeoutLayer::new(SECOND))
            .layer(BandwidthLayer::new(rate))
            .layer(tls()) => "timed out: lifetime",
    );
}

#[cfg(feature = "framed")]
#[tokio::test(start_paused = true)]
async fn clients_of_frames_hear_of_an_abort() {
    use reagent_layers::framed::{FramedLayer, codec::LinesCodec};
    use tower::{Layer, service_fn};

    let service = service_fn(async |line: String| Ok::<_, BoxError>(line));
    let service = FramedLayer::new(LinesCodec::new()).layer(service);
    let (server, _, mut client) = Site::new().start(service).await;
    assert!(crate::support::echoes(&mut client, "a frame\n").await);
    server.connection(1).unwrap().abort();
    assert_eq!(rest(&mut client).await, (0, true));
}

#[cfg(all(feature = "framed", feature = "bandwidth"))]
#[tokio::test(start_paused = true)]
async fn half_a_frame_is_told_from_a_whole_one_though_a_layer_in_between_holds_it_back() {
    use reagent_layers::{
        bandwidth::{BandwidthLayer, BandwidthLimits, Rate},
        framed::{FramedLayer, codec::LinesCodec},
    };
    use tower::{Layer, service_fn};

    let service = service_fn(async |_: String| Ok::<_, BoxError>("x".repeat(100_000)));
    let service = FramedLayer::new(LinesCodec::new()).layer(service);
    let slow = BandwidthLimits::new().per_connection(Rate::new(10_000));
    let (server, _, mut client) = Site::new()
        .start(BandwidthLayer::new(slow).layer(service))
        .await;
    client.write_all(b"a frame\n").await.unwrap();
    tokio::time::sleep(SECOND).await;
    server.connection(1).unwrap().abort();
    let (received, is_notified) = rest(&mut client).await;
    assert!((1..100_000).contains(&received), "{received}");
    assert!(!is_notified);
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn half_an_answer_of_http_is_told_from_a_whole_one() {
    use axum::{
        Router,
        body::{Body, Bytes},
        routing::get,
    };
    use reagent_layers::http::HttpLayer;
    use tower::Layer;

    let half = || {
        use futures_util::{StreamExt, stream};
        let first = stream::iter([io::Result::Ok(Bytes::from("half"))]);
        Body::from_stream(first.chain(stream::pending()))
    };
    // As a proxy has it from an old upstream.
    let old = move || async move {
        let mut response = axum::response::Response::new(half());
        *response.version_mut() = axum::http::Version::HTTP_10;
        response
    };
    let router = Router::new()
        .route("/", get(move || async move { half() }))
        .route("/old", get(old));
    let site = Site::new();
    // The end of the stream is the only end that an HTTP/1.0 client can see.
    for (head, notifies) in [
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", true),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET /old HTTP/1.1\r\nhost: x\r\n\r\n", true),
        ("GET /old HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nhost: x\r\nupgrade: x\r\n\r\n", false),
        ("", true),
    ] {
        let (server, _, mut client) = site.start(HttpLayer::new().layer(router.clone())).await;
        client.write_all(head.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        while !head.is_empty() && !String::from_utf8_lossy(&received).contains("half") {
            received.push(client.read_u8().await.unwrap());
        }
        let is_chunked = String::from_utf8_lossy(&received).contains("transfer-encoding: chunked");
        assert!(
            head.is_empty() || is_chunked == head.contains("HTTP/1.1"),
            "{head}"
        );
        // At most the end of a chunk, but not the last chunk.
        tokio::time::sleep(SECOND).await;
        server.connection(1).unwrap().abort();
        let (rest, is_notified) = rest(&mut client).await;
        assert!(rest <= 2, "{head}");
        assert_eq!(is_notified, notifies, "{head}");
    }
}
