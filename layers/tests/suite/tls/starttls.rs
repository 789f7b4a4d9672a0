//! TLS started by a handler.

use super::{
    pki::{BOTH, Ca, Dir},
    running::{in_time, localhost},
};
use crate::support::{Ends, echo, echoes};
use reagent::{
    BoxError, Connection, Observer, Outcome, Phase, Server, ServerHandle, event, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::tls::{HandshakeError, HandshakeErrorKind, INJECTED, TlsInfo, TlsLayer};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::{Layer, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

/// Replies to the client's first byte, and then switches to TLS.
async fn starttls(tls: &TlsLayer, mut conn: Connection) -> Result<(), BoxError> {
    conn.write_all(b"hello").await?;
    conn.read_u8().await?;
    conn.write_all(b"go").await?;
    assert!(!conn.is_secure());
    let conn = tls.accept(conn).await?;
    assert!(conn.is_secure());
    assert_eq!(conn.info().phase, Phase::Handling);
    assert_eq!(conn.handle().label("tls.protocol.version").unwrap(), "1.3");
    let info = conn.extensions().get::<TlsInfo>().unwrap();
    assert_eq!(info.server_name(), Some("localhost"));
    Ok(echo(conn.boxed()).await?)
}

#[derive(Clone, Default)]
struct Upgrades(Arc<Mutex<Vec<&'static str>>>);

impl Observer for Upgrades {
    fn connection_upgraded(&self, event: &event::ConnectionUpgraded<'_>) {
        self.0.lock().unwrap().push(event.upgrade);
    }
}

struct Site {
    _dir: Dir,
    ca: Ca,
    server: ServerHandle,
    clients: Clients,
    ends: Ends,
    upgrades: Upgrades,
}

impl Site {
    async fn new(configure: impl FnOnce(TlsLayer) -> TlsLayer) -> Self {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let tls = configure(localhost(&dir, &ca));
        let (listener, clients) = MemoryListener::new();
        let (ends, upgrades) = (Ends::default(), Upgrades::default());
        let server = Server::new(listener)
            .opening_timeout(20 * SECOND)
            .observe(ends.clone())
            .observe(upgrades.clone())
            .start(handle(move |conn| {
                let tls = tls.clone();
                async move { starttls(&tls, conn).await }
            }))
            .await
            .unwrap();
        Site {
            _dir: dir,
            ca,
            server,
            clients,
            ends,
            upgrades,
        }
    }

    /// Returns a client that has requested TLS and has to start the handshake.
    async fn asked(&self) -> DuplexStream {
        let mut stream = self.clients.connect().await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        stream.write_u8(b'!').await.unwrap();
        stream.read_exact(&mut [0; 2]).await.unwrap();
        stream
    }

    async fn handshake(&self, stream: DuplexStream) -> TlsStream<DuplexStream> {
        let connector = TlsConnector::from(Arc::new(self.ca.believer(BOTH)));
        let name = "localhost".try_into().unwrap();
        in_time(connector.connect(name, stream)).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_begins_tls_with_all_that_the_layer_does() {
    let site = Site::new(|tls| tls).await;
    let mut client = site.handshake(site.asked().await).await;
    assert!(echoes(&mut client, "encrypted").await);
    client.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert!(matches!(site.ends.of(1).await, Outcome::Completed));
    assert_eq!(*site.upgrades.0.lock().unwrap(), ["tls handshake"]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_a_handler_begins_has_its_time_limit() {
    let site = Site::new(|tls| tls.timeout(3 * SECOND)).await;
    let mut silent = site.asked().await;
    let began = Instant::now();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(began.elapsed().as_secs(), 3);
    let outcome = site.ends.of(1).await;
    assert!(
        matches!(&outcome, Outcome::TimedOut(limit) if limit.kind() == "tls handshake"),
        "{outcome}"
    );
    assert_eq!(*site.upgrades.0.lock().unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_a_handler_begins_fails_as_in_the_layer() {
    let site = Site::new(|tls| tls).await;
    let mut client = site.asked().await;
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let Outcome::Failed(error) = site.ends.of(1).await else {
        panic!("not failed");
    };
    let error = error.downcast_ref::<HandshakeError>().unwrap();
    assert_eq!(error.kind(), HandshakeErrorKind::NotTls);
}

#[tokio::test(start_paused = true)]
async fn plaintext_that_a_handler_has_buffered_is_refused() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let tls = localhost(&dir, &ca);
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let serve = move |conn: Connection| {
        let tls = tls.clone();
        async move {
            let mut conn = BufReader::new(conn);
            conn.read_line(&mut String::new()).await?;
            conn.write_all(b"go").await?;
            let conn = tls.accept_buffered(conn).await?;
            Ok::<_, BoxError>(echo(conn.boxed()).await?)
        }
    };
    let server = Server::new(listener).observe(ends.clone());
    let _server = server.start(handle(serve)).await.unwrap();

    let mut injected = clients.connect().await.unwrap();
    injected.write_all(b"STARTTLS\nDELE 1\n").await.unwrap();
    let mut answer = String::new();
    injected.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "go");
    let outcome = ends.of(1).await;
    let is_injected = matches!(&outcome, Outcome::Rejected(why) if why.reason() == INJECTED);
    assert!(is_injected, "{outcome}");

    let mut client = clients.connect().await.unwrap();
    client.write_all(b"STARTTLS\n").await.unwrap();
    client.read_exact(&mut [0; 2]).await.unwrap();
    let connector = TlsConnector::from(Arc::new(ca.believer(BOTH)));
    let connecting = connector.connect("localhost".try_into().unwrap(), client);
    assert!(echoes(&mut in_time(connecting).await.unwrap(), "encrypted").await);
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_go_of_a_client_that_does_not_begin_and_not_of_one_that_has() {
    let site = Site::new(|tls| tls.timeout(None)).await;
    let (_silent, begun) = (site.asked().await, site.asked().await);
    let server = site.server.clone();
    let began = Instant::now();
    let mut drain = JoinSet::new();
    drain.spawn(async move { server.drain(60 * SECOND).await });
    let ended = async {
        let silent = site.ends.of(1).await;
        assert!(matches!(silent, Outcome::Drained), "{silent}");
        began.elapsed()
    };
    let (waited, mut client) = tokio::join!(ended, site.handshake(begun));
    assert!(waited <= SECOND, "{waited:?}");
    tokio::time::sleep(5 * SECOND).await;
    assert!(echoes(&mut client, "in time").await);
    client.shutdown().await.unwrap();
    let report = drain.join_next().await.unwrap().unwrap();
    assert_eq!((report.finished, report.aborted), (2, 0));
}

/// Covers every place in which the compiler has to prove that the future is `Send`.
#[tokio::test(start_paused = true)]
async fn tls_may_be_begun_in_a_task_a_set_and_by_a_layer_around_another_handler() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let tls = localhost(&dir, &ca);
    async fn inner(conn: Connection) -> Result<(), BoxError> {
        Ok(echo(conn).await?)
    }
    async fn accepted(tls: &TlsLayer, conn: Connection) -> Result<(), BoxError> {
        inner(tls.accept(conn).await?.boxed()).await
    }
    #[expect(clippy::disallowed_methods, reason = "programs do")]
    async fn spawned(tls: TlsLayer, conn: Connection) -> Result<(), BoxError> {
        tokio::spawn(async move { accepted(&tls, conn).await }).await?
    }
    async fn in_a_set(tls: TlsLayer, conn: Connection) -> Result<(), BoxError> {
        let mut set = JoinSet::new();
        set.spawn(async move { accepted(&tls, conn).await });
        set.join_next().await.unwrap()?
    }
    async fn around(tls: TlsLayer, conn: Connection) -> Result<(), BoxError> {
        tls.layer(handle(inner)).oneshot(conn).await
    }
    macro_rules! serves {
        ($($function:ident),+) => {$({
            let (listener, clients) = MemoryListener::new();
            let tls = tls.clone();
            let _server = Server::new(listener)
                .start(handle(move |conn| $function(tls.clone(), conn)))
                .await
                .unwrap();
            let config = Arc::new(ca.believer(BOTH));
            let mut client = super::running::connect(&clients, &config, "localhost").await.unwrap();
            assert!(echoes(&mut client, stringify!($function)).await);
        })+};
    }
    serves!(spawned, in_a_set, around);
}
