//! A drain does not wait for clients that have sent nothing to an upgrade.

use crate::support::{beside, echo, echoes, memory_server, rest, settled};
use reagent::{
    BoxError, Connection, DrainReport, IoStream, OutcomeKind, ServerHandle, Upgrade, UpgradeLayer,
    handle,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

const DEADLINE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// Sends a greeting if there is one, and reads a number of bytes.
struct Read {
    greeting: &'static [u8],
    bytes: usize,
}

impl Read {
    fn layer(bytes: usize) -> UpgradeLayer<Read> {
        UpgradeLayer::new(Read {
            greeting: b"",
            bytes,
        })
    }
}

impl<Io: IoStream> Upgrade<Io> for Read {
    type Io = Io;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        conn.write_all(self.greeting).await?;
        conn.read_exact(&mut vec![0; self.bytes]).await?;
        Ok(conn)
    }
}

fn drain(server: &ServerHandle) -> JoinHandle<DrainReport> {
    let server = server.clone();
    beside(async move { server.drain(DEADLINE).await })
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_let_go_within_a_second() {
    for limit in [Some(10 * SECOND), None] {
        let (server, clients, mut accepted) = memory_server();
        let server = server
            .layer(Read::layer(2).timeout(limit))
            .start(handle(echo))
            .await
            .unwrap();
        let mut old = clients.connect().await.unwrap();
        tokio::time::sleep(5 * SECOND).await;
        let mut new = clients.connect().await.unwrap();
        let report = server.drain(DEADLINE).await;
        assert!(report.elapsed <= SECOND, "{:?}", report.elapsed);
        assert_eq!((report.finished, report.aborted), (2, 0));
        for client in [&mut old, &mut new] {
            let outcome = accepted.outcome().await;
            assert_eq!(outcome.kind(), OutcomeKind::Drained, "{outcome}");
            assert_eq!(rest(client).await.unwrap(), b"");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silent_clients_between_two_upgrades_are_let_go_as_well() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .layer(Read::layer(2))
        .layer(UpgradeLayer::new(Read {
            greeting: b"hello",
            bytes: 2,
        }))
        .start(handle(echo))
        .await
        .unwrap();
    let _before_the_first = clients.connect().await.unwrap();
    // The second upgrade sends a greeting, which shows that it has begun.
    let mut before_the_second = clients.connect().await.unwrap();
    before_the_second.write_all(b"..").await.unwrap();
    let (first, second) = (accepted.next().await, accepted.next().await);
    settled().await;
    let draining = drain(&server);
    tokio::time::sleep(SECOND).await;
    assert_eq!(first.outcome().unwrap().kind(), OutcomeKind::Drained);
    assert!(second.outcome().is_none());
    before_the_second.write_all(b"..").await.unwrap();
    assert!(echoes(&mut before_the_second, "hello").await || second.outcome().is_none());
    drop(before_the_second);
    assert_eq!(draining.await.unwrap().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_greeting_alone_does_not_hold_a_drain() {
    let (server, clients, mut accepted) = memory_server();
    let greeting = UpgradeLayer::new(Read {
        greeting: b"220 ready\r\n",
        bytes: 2,
    });
    let server = server.layer(greeting).start(handle(echo)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    settled().await;
    assert!(connection.bytes_written() > 0);
    assert!(server.drain(DEADLINE).await.elapsed <= SECOND);
    assert_eq!(connection.closed().await.kind(), OutcomeKind::Drained);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_has_begun_goes_on_to_its_own_limit() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .layer(Read::layer(2))
        .start(handle(echo))
        .await
        .unwrap();
    let mut stays = clients.connect().await.unwrap();
    let mut goes_on = clients.connect().await.unwrap();
    let mut begins = clients.connect().await.unwrap();
    for client in [&mut stays, &mut goes_on] {
        client.write_u8(b'.').await.unwrap();
    }
    let all = [
        accepted.next().await,
        accepted.next().await,
        accepted.next().await,
    ];
    settled().await;
    let draining = drain(&server);
    // An upgrade that begins in time is finished.
    tokio::time::sleep(Duration::from_millis(100)).await;
    begins.write_u8(b'.').await.unwrap();
    tokio::time::sleep(5 * SECOND).await;
    assert!(all.iter().all(|connection| connection.outcome().is_none()));
    for client in [&mut goes_on, &mut begins] {
        client.write_u8(b'.').await.unwrap();
        assert!(echoes(client, "served").await);
    }
    drop((goes_on, begins));
    assert_eq!(all[0].closed().await.to_string(), "timed out: upgrade");
    for connection in &all[1..] {
        assert_eq!(connection.closed().await.kind(), OutcomeKind::Drained);
    }
    assert_eq!(draining.await.unwrap().aborted, 0);
}
