//! Layers that replace the stream of a connection.

use crate::support::{Log, connect, echo, echoes, memory_server, rest, settled, soon, tcp_server};
use reagent::{BoxError, Connection, IoStream, Phase, Rejected, Upgrade, UpgradeLayer, handle};
use std::{any::type_name, future::pending, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufStream},
    time::Instant,
};
use tower::limit::ConcurrencyLimitLayer;

/// Acts on the first byte of the client, and wraps the stream.
struct Ask(&'static str);

impl<Io: IoStream> Upgrade<Io> for Ask {
    type Io = BufStream<Io>;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Self::Io>, BoxError> {
        match conn.read_u8().await? {
            b'r' => return Err(Rejected::new("asked for it").into()),
            b'e' => return Err("asked for it".into()),
            b'p' => panic!("asked for it"),
            b's' => pending::<()>().await,
            _ => {}
        }
        conn.extensions_mut().insert(self.0);
        Ok(conn.map_io(BufStream::new))
    }

    fn name(&self) -> &'static str {
        self.0
    }
}

/// Echoes, and flushes after every read.
async fn flushing_echo(mut conn: Connection) -> std::io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match conn.read(&mut buf).await? {
            0 => return Ok(()),
            n => conn.write_all(&buf[..n]).await?,
        }
        conn.flush().await?;
    }
}

#[tokio::test]
async fn an_upgrade_changes_the_stream_and_leaves_facts_for_the_handler() {
    /// Labels the connection with the type of the upgraded stream.
    struct Look;

    impl<Io: IoStream> Upgrade<BufStream<Io>> for Look {
        type Io = BufStream<Io>;

        async fn upgrade(
            &self,
            conn: Connection<BufStream<Io>>,
        ) -> Result<Connection<BufStream<Io>>, BoxError> {
            conn.label("stream", type_name::<BufStream<Io>>());
            Ok(conn)
        }
    }

    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .layer(UpgradeLayer::new(Ask("ask")))
        .layer(UpgradeLayer::new(Look))
        .start(handle(|conn: Connection| {
            assert_eq!(conn.extensions().get::<&str>(), Some(&"ask"));
            flushing_echo(conn)
        }))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_u8(b'.').await.unwrap();
    assert!(echoes(&mut client, "upgraded").await);
    assert!(
        accepted.next().await.info().labels[0]
            .1
            .contains("BufStream")
    );
}

#[tokio::test]
async fn an_upgrade_that_does_not_work_out_ends_its_connection_alone() {
    let (server, mut accepted) = tcp_server();
    let server = server
        .layer(UpgradeLayer::new(Ask("ask")))
        .start(handle(flushing_echo))
        .await
        .unwrap();
    let mut other = connect(&server).await;
    other.write_u8(b'.').await.unwrap();
    assert!(echoes(&mut other, "before").await);
    accepted.next().await;
    for (byte, expected) in [
        (b'r', "rejected: asked for it"),
        (b'e', "failed: asked for it"),
        (b'p', "panicked: asked for it"),
    ] {
        let mut client = connect(&server).await;
        client.write_u8(byte).await.unwrap();
        assert_eq!(accepted.outcome().await.to_string(), expected);
        assert_eq!(rest(&mut client).await.unwrap(), b"");
    }
    // A client that leaves without sending anything.
    drop(connect(&server).await);
    assert_eq!(accepted.outcome().await.to_string(), "disconnected: eof");
    assert!(echoes(&mut other, "after").await);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_has_ten_seconds_by_default() {
    let layer = || UpgradeLayer::new(Ask("asking"));
    let second = Duration::from_secs(1);
    for (layer, limit) in [
        (layer(), Duration::from_secs(10)),
        (layer().timeout(second), second),
        (
            layer().timeout(Duration::from_secs(3600)),
            Duration::from_secs(3600),
        ),
    ] {
        let (server, clients, mut accepted) = memory_server();
        let _server = server.layer(layer).start(handle(echo)).await.unwrap();
        let began = Instant::now();
        let _client = clients.connect().await.unwrap();
        let outcome = accepted.next().await.closed().await;
        assert_eq!(outcome.to_string(), "timed out: asking");
        assert!(began.elapsed() >= limit && began.elapsed() < limit + second);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_without_a_limit_takes_as_long_as_the_client_likes() {
    let (server, clients, mut accepted) = memory_server();
    let layer = UpgradeLayer::new(Ask("asking")).timeout(None);
    let _server = server
        .layer(layer)
        .start(handle(flushing_echo))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    assert_eq!(connection.phase(), Phase::Upgrading);
    client.write_u8(b'.').await.unwrap();
    assert!(echoes(&mut client, "no hurry").await);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_ends_with_the_upgrade() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .layer(UpgradeLayer::new(Ask("asking")))
        .start(handle(flushing_echo))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    accepted.next().await;
    settled().await;
    client.write_u8(b'.').await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(echoes(&mut client, "still here").await);
}

#[tokio::test(start_paused = true)]
async fn upgrades_stand_on_one_another_and_each_has_its_own_limit() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .layer(UpgradeLayer::new(Ask("outer")))
        .layer(UpgradeLayer::new(Ask("inner")))
        .start(handle(flushing_echo))
        .await
        .unwrap();
    let mut first = clients.connect().await.unwrap();
    first.write_all(b"..").await.unwrap();
    assert!(echoes(&mut first, "through both").await);
    accepted.next().await;

    let _second = clients.connect().await.unwrap();
    let mut third = clients.connect().await.unwrap();
    third.write_u8(b'.').await.unwrap();
    assert_eq!(accepted.outcome().await.to_string(), "timed out: outer");
    assert_eq!(accepted.outcome().await.to_string(), "timed out: inner");
    let mut fourth = clients.connect().await.unwrap();
    fourth.write_all(b".r").await.unwrap();
    assert_eq!(
        accepted.outcome().await.to_string(),
        "rejected: asked for it"
    );
}

#[tokio::test(start_paused = true)]
async fn slow_upgrades_hold_up_neither_the_acceptor_nor_anybody_else() {
    let (server, clients, _accepted) = memory_server();
    let server = server
        .layer(UpgradeLayer::new(Ask("asking")))
        .start(handle(flushing_echo))
        .await
        .unwrap();
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(clients.connect().await.unwrap());
    }
    let mut client = clients.connect().await.unwrap();
    client.write_u8(b'.').await.unwrap();
    assert!(echoes(&mut client, "straight through").await);
    assert_eq!((server.connection_count(), clients.waiting()), (101, 0));
    // The slow ones are still within the limit.
    slow[7].write_u8(b'.').await.unwrap();
    assert!(echoes(&mut slow[7], "late").await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_says_when_it_is_being_upgraded() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .layer(UpgradeLayer::new(Ask("outer")))
        .layer(UpgradeLayer::new(Ask("inner")))
        .start(handle(flushing_echo))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    for expected in [Phase::Upgrading, Phase::Upgrading, Phase::Handling] {
        settled().await;
        assert_eq!(connection.info().phase, expected);
        client.write_u8(b'.').await.unwrap();
    }
    drop(client);
    soon(connection.closed()).await;
    assert_eq!(connection.phase(), Phase::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_goes_with_the_connection_through_its_upgrade() {
    let log = Log::default();
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .observe(log.clone())
        .layer(UpgradeLayer::new(Ask("asking")))
        .layer(ConcurrencyLimitLayer::new(2))
        .start(handle(flushing_echo))
        .await
        .unwrap();
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(clients.connect().await.unwrap());
    }
    let first = accepted.next().await;
    settled().await;
    // A client in an upgrade already holds its permit.
    assert_eq!((server.connection_count(), clients.waiting()), (2, 1));
    for client in &mut all[..2] {
        client.write_u8(b'.').await.unwrap();
        assert!(echoes(client, "served").await);
    }
    drop(all.remove(0));
    soon(first.closed()).await;
    all[1].write_u8(b'.').await.unwrap();
    assert!(echoes(&mut all[1], "served in turn").await);
    assert_eq!(
        (log.count("acceptor failed"), server.stats().panicked),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_upgrade_gives_its_reservation_back() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .layer(UpgradeLayer::new(Ask("asking")))
        .layer(ConcurrencyLimitLayer::new(1))
        .start(handle(flushing_echo))
        .await
        .unwrap();
    for byte in [b'r', b'e', b'p', b's'] {
        let mut client = clients.connect().await.unwrap();
        client.write_u8(byte).await.unwrap();
        accepted.outcome().await;
    }
    let mut client = clients.connect().await.unwrap();
    client.write_u8(b'.').await.unwrap();
    assert!(echoes(&mut client, "served").await);
}

#[tokio::test(start_paused = true)]
async fn an_abort_reaches_an_upgrade_and_so_does_the_deadline_of_a_drain() {
    let (server, clients, mut accepted) = memory_server();
    let layer = UpgradeLayer::new(Ask("asking")).timeout(None);
    let server = server
        .layer(layer)
        .start(handle(flushing_echo))
        .await
        .unwrap();
    let _first = clients.connect().await.unwrap();
    let mut second = clients.connect().await.unwrap();
    second.write_u8(b's').await.unwrap();
    let (first, second) = (accepted.next().await, accepted.next().await);
    settled().await;
    first.abort();
    assert_eq!(soon(first.closed()).await.to_string(), "aborted");
    let report = server.drain(Duration::from_secs(10)).await;
    assert_eq!(
        (report.finished, report.aborted, report.remaining),
        (0, 1, 0)
    );
    assert_eq!(second.closed().await.to_string(), "aborted");
}
