//! The protocols know which of their connections are idle.

use super::{Knob, SECOND};
use crate::{
    http::{H2, Raw, answer, in_time},
    support::until,
    tls::pki::{BOTH, Ca, Dir},
};
use axum::{
    Router,
    extract::ws::WebSocketUpgrade,
    routing::{any, get},
};
use reagent::{
    BoxError, Connection, ConnectionService, Outcome, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    framed::{FramedLayer, codec::LinesCodec},
    http::HttpLayer,
    pressure::Pressure,
    relay::{Relay, Resettable},
    tls::TlsLayer,
};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    time::sleep,
};
use tokio_rustls::TlsConnector;
use tower::{Layer, service_fn};

struct Stage {
    knob: Knob,
    pressure: Pressure,
    server: ServerHandle,
    clients: Clients,
}

async fn start(service: impl ConnectionService + Clone + Sync) -> Stage {
    let knob = Knob::default();
    let pressure = Pressure::builder().source(knob.source()).build();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(service).await.unwrap();
    pressure.attach(&server);
    Stage {
        knob,
        pressure,
        server,
        clients,
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route(
            "/slow",
            get(async || {
                sleep(90 * SECOND).await;
                "slow"
            }),
        )
        .route("/big", get(async || "x".repeat(4 << 20)))
        .route(
            "/ws",
            any(async |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async |mut socket| while socket.recv().await.is_some() {})
            }),
        )
}

async fn http() -> Stage {
    start(HttpLayer::new().layer(router())).await
}

impl Stage {
    async fn raw(&self) -> Raw {
        Raw(self.clients.connect().await.unwrap())
    }

    /// Puts the server under the highest pressure for a number of seconds, and returns how many
    /// connections were asked to finish.
    async fn press(&self, seconds: u32) -> u64 {
        self.knob.set(1.0);
        sleep(seconds * SECOND).await;
        self.pressure.stats().asked
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_http_connection_is_closed_in_order_and_a_silent_one_too() {
    let stage = http().await;
    let (mut idle, mut silent) = (stage.raw().await, stage.raw().await);
    assert_eq!(idle.get("/").await.body, "hello");
    let connections = [1, 2].map(|id| stage.server.connection(id).unwrap());
    sleep(3 * SECOND).await;
    assert_eq!(stage.press(2).await, 2);
    assert_eq!(idle.rest().await, "");
    assert_eq!(silent.rest().await, "");
    for connection in connections {
        let outcome = connection.closed().await;
        assert!(
            matches!(outcome, Outcome::Drained | Outcome::Completed),
            "{outcome:?}"
        );
    }
    assert_eq!(stage.pressure.stats().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn no_http_connection_is_closed_in_a_request() {
    let stage = http().await;
    let mut slow = stage.raw().await;
    slow.send("GET /slow HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let mut half = stage.raw().await;
    half.send("GET / HTTP/1.1\r\nho").await;
    sleep(3 * SECOND).await;
    assert_eq!(stage.press(20).await, 0);
    half.send("st: here\r\n\r\n").await;
    assert_eq!(half.answer().await.unwrap().body, "hello");
    let slow = slow.answer().await.unwrap();
    assert_eq!((slow.status, &*slow.body), (200, "slow"));
    assert!(!slow.head.contains("connection: close"), "{}", slow.head);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_still_takes_its_response_is_not_idle() {
    let stage = http().await;
    let mut slow = stage.raw().await;
    slow.send("GET /big HTTP/1.1\r\nhost: here\r\n\r\n").await;
    sleep(3 * SECOND).await;
    assert_eq!(stage.press(50).await, 0);
    assert_eq!(slow.answer().await.unwrap().body.len(), 4 << 20);
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_is_not_idle() {
    let stage = http().await;
    let mut client = stage.raw().await;
    client
        .send(
            "GET /ws HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.unwrap().status, 101);
    sleep(3 * SECOND).await;
    assert_eq!(stage.press(600).await, 0);
    assert_eq!(stage.server.connection_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_with_an_open_stream_is_not_idle() {
    let stage = http().await;
    let mut busy = H2::new(stage.clients.connect().await.unwrap()).await;
    let mut idle = H2::new(stage.clients.connect().await.unwrap()).await;
    assert_eq!(answer(idle.send("/").await).await.unwrap().0, 200);
    let slow = busy.send("/slow").await;
    sleep(3 * SECOND).await;
    assert_eq!(stage.press(3).await, 1);
    until("the idle one is closed", || {
        stage.server.connection_count() == 1
    })
    .await;
    assert_eq!(answer(slow).await.unwrap(), (200, "slow".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_tls_is_closed_with_a_close_notify_and_one_in_a_request_is_not() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let tls = TlsLayer::builder().certificate(cert, key).build().unwrap();
    let stage = start(tls.layer(HttpLayer::new().layer(router()))).await;
    let connector = TlsConnector::from(Arc::new(ca.believer(BOTH)));
    let connect = async || {
        let stream = stage.clients.connect().await.unwrap();
        let name = "localhost".try_into().unwrap();
        Raw(connector.connect(name, stream).await.unwrap())
    };
    let (mut idle, mut busy) = (connect().await, connect().await);
    assert_eq!(idle.get("/").await.body, "hello");
    busy.send("GET /slow HTTP/1.1\r\nhost: here\r\n\r\n").await;
    sleep(3 * SECOND).await;
    assert_eq!(stage.press(20).await, 1);
    // An end without `close_notify` would be an error.
    assert_eq!(idle.rest().await, "");
    assert_eq!(busy.answer().await.unwrap().body, "slow");
    assert_eq!(stage.pressure.stats().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_framed_connection_is_idle_between_requests() {
    let after = service_fn(async |line: String| {
        sleep(Duration::from_secs(line.parse()?)).await;
        Ok::<_, BoxError>(line)
    });
    let stage = start(FramedLayer::<_, String>::new(LinesCodec::new()).layer(after)).await;
    let (mut idle, mut busy, mut half) = (stage.raw().await, stage.raw().await, stage.raw().await);
    idle.send("0\n").await;
    in_time(idle.0.read_exact(&mut [0; 2])).await.unwrap();
    busy.send("90\n").await;
    half.send("1").await;
    sleep(3 * SECOND).await;
    assert_eq!(stage.press(20).await, 1);
    assert_eq!(idle.rest().await, "");
    half.send("\n").await;
    in_time(half.0.read_exact(&mut [0; 2])).await.unwrap();
    let mut line = [0; 3];
    in_time(busy.0.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"90\n");
    assert_eq!(stage.pressure.stats().aborted, 0);
}

/// An upstream without a socket.
struct Memory(DuplexStream);

impl Resettable for Memory {
    fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_is_idle_once_it_is_silent_for_long_and_holds_nothing() {
    let upstreams = Arc::new(Mutex::new(Vec::new()));
    let connected = upstreams.clone();
    let stage = start(handle(move |conn: Connection| {
        let (near, far) = duplex(16);
        connected.lock().unwrap().push(far);
        async move {
            let draining = conn.draining();
            Relay::new().run_until(conn, Memory(near), draining).await?;
            Ok::<_, BoxError>(())
        }
    }))
    .await;
    let (mut silent, mut stuck) = (stage.raw().await, stage.raw().await);
    // The upstream takes 16 of 100 bytes.
    until("both are connected", || {
        upstreams.lock().unwrap().len() == 2
    })
    .await;
    stuck.send(&"x".repeat(100)).await;
    assert_eq!(stage.press(50).await, 0);
    sleep(120 * SECOND).await;
    assert_eq!(stage.pressure.stats().asked, 1);
    assert_eq!(silent.rest().await, "");
    assert_eq!(stage.server.connection_count(), 1);
    let mut far = upstreams.lock().unwrap().remove(1);
    in_time(far.read_exact(&mut [0; 100])).await.unwrap();
    far.write_all(b"done").await.unwrap();
    in_time(stuck.0.read_exact(&mut [0; 4])).await.unwrap();
}
