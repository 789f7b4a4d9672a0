//! The time limit for all upgrades of a connection together.

use crate::support::{echoes, memory_server, soon};
use reagent::{
    BoxError, Connection, IoStream, Server, Upgrade, UpgradeLayer, handle, testing::Clients,
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

/// Waits for one byte.
struct Step(&'static str);

impl<Io: IoStream> Upgrade<Io> for Step {
    type Io = Io;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        conn.read_u8().await?;
        Ok(conn)
    }

    fn name(&self) -> &'static str {
        self.0
    }
}

fn step(name: &'static str, limit: impl Into<Option<Duration>>) -> UpgradeLayer<Step> {
    UpgradeLayer::new(Step(name)).timeout(limit)
}

/// A client that sends one byte per `interval`.
async fn trickle(clients: Clients, interval: Duration) {
    let mut client = clients.connect().await.unwrap();
    loop {
        sleep(interval).await;
        // The caller checks the outcome if the connection was closed.
        let _ = client.write_u8(b'.').await;
    }
}

/// Returns the outcome, and the time it took, of a client that sends a byte every 8 seconds through
/// three upgrades.
async fn end(
    change: impl FnOnce(Server) -> Server,
    limits: [Option<Duration>; 3],
) -> (String, Duration) {
    let (server, clients, mut accepted) = memory_server();
    let [first, second, third] = limits;
    let _server = change(server)
        .layer(step("first", first))
        .layer(step("second", second))
        .layer(step("third", third))
        .start(handle(|mut conn: Connection| async move {
            let left = conn.opening_left(5 * SECOND);
            conn.read_u8().await?;
            Err::<(), BoxError>(format!("served, with {left:?} left").into())
        }))
        .await
        .unwrap();
    let began = Instant::now();
    let ended = async { accepted.next().await.closed().await };
    tokio::select! {
        outcome = ended => (outcome.to_string(), began.elapsed()),
        () = trickle(clients, 8 * SECOND) => unreachable!("it never ends"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_cannot_use_up_the_limit_of_every_step() {
    let limits = [Some(10 * SECOND); 3];
    let (outcome, after) = end(|server| server.opening_timeout(20 * SECOND), limits).await;
    assert_eq!((outcome.as_str(), after), ("timed out: third", 20 * SECOND));
    // The default is 30 seconds, of which three bytes leave 6.
    let (outcome, _) = end(|server| server, limits).await;
    assert_eq!(outcome, "failed: served, with 5s left");
    let (outcome, _) = end(|server| server.opening_timeout(26 * SECOND), limits).await;
    assert_eq!(outcome, "failed: served, with 2s left");
    let (outcome, _) = end(|server| server.opening_timeout(None), limits).await;
    assert_eq!(outcome, "failed: served, with 5s left");
}

#[tokio::test(start_paused = true)]
async fn a_step_with_a_longer_limit_has_it_and_one_without_takes_nothing_from_others() {
    let short = |server: Server| server.opening_timeout(SECOND);
    let limits = [Some(9 * SECOND), Some(20 * SECOND), Some(9 * SECOND)];
    let (outcome, after) = end(short, limits).await;
    // The 20 s of the second upgrade apply to all of them.
    assert_eq!((outcome.as_str(), after), ("timed out: third", 20 * SECOND));
    let limits = [None, None, Some(9 * SECOND)];
    let (outcome, _) = end(short, limits).await;
    assert_eq!(outcome, "failed: served, with 1s left");
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_in_mid_connection_has_time_of_its_own() {
    use tower::{Layer, ServiceExt};

    let (server, clients, _accepted) = memory_server();
    let _server = server
        .opening_timeout(20 * SECOND)
        .layer(step("first", 10 * SECOND))
        .start(handle(|mut conn: Connection| async move {
            // Long after the connection was opened.
            conn.read_u8().await?;
            let late = step("late", 10 * SECOND).layer(handle(crate::support::echo));
            late.oneshot(conn).await?;
            Ok::<_, BoxError>(())
        }))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    sleep(5 * SECOND).await;
    client.write_u8(b'1').await.unwrap();
    sleep(3600 * SECOND).await;
    client.write_u8(b'2').await.unwrap();
    sleep(9 * SECOND).await;
    client.write_u8(b'3').await.unwrap();
    assert!(soon(echoes(&mut client, "served")).await);
}
