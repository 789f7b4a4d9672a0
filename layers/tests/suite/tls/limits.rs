//! Time limits and the limit of handshakes, on a paused clock.

use super::{
    failures::hello,
    pki::{BOTH, Ca, Dir},
    running::{Running, connect, localhost},
};
use crate::support::outcome;
use reagent::{Outcome, testing::Clients};
use reagent_layers::tls::TlsLayer;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinSet,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

/// A client that begins a handshake and stops where the server waits for it.
async fn stalled(clients: &Clients, ca: &Ca) -> DuplexStream {
    let mut client = clients.connect().await.unwrap();
    client.write_all(&hello(ca)).await.unwrap();
    client
}

async fn timed_out(running: &mut Running) {
    is_time_out(&running.end().await);
}

fn is_time_out(outcome: &Outcome) {
    assert!(
        matches!(outcome, Outcome::TimedOut(limit) if limit.kind() == "tls handshake"),
        "{outcome}"
    );
}

#[tokio::test(start_paused = true)]
async fn silent_and_stalled_clients_are_ended_at_the_limit() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let layer = localhost(&dir, &ca);
    for (layer, seconds) in [(layer.clone(), 10), (layer.timeout(3 * SECOND), 3)] {
        let running = Running::new(layer).await;
        for number in [1, 2] {
            let began = Instant::now();
            let mut client = match number {
                1 => running.clients.connect().await.unwrap(),
                _ => stalled(&running.clients, &ca).await,
            };
            is_time_out(&outcome(&running.server, number).await);
            assert_eq!(began.elapsed().as_secs(), seconds);
            client.read_to_end(&mut Vec::new()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_silent_clients_do_not_delay_a_hundred_others() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let layer = localhost(&dir, &ca).max_handshakes(1);
    let mut running = Running::new(layer).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(running.clients.connect().await.unwrap());
    }
    let began = Instant::now();
    let config = Arc::new(ca.believer(BOTH));
    let mut honest = JoinSet::new();
    for _ in 0..100 {
        let (clients, config) = (running.clients.clone(), config.clone());
        honest.spawn(async move { connect(&clients, &config, "localhost").await.unwrap() });
    }
    let honest = honest.join_all().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(running.server.connection_count(), 200);
    for _ in 0..100 {
        timed_out(&mut running).await;
    }
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(running.server.connection_count(), 100);
    drop((silent, honest));
}

#[tokio::test(start_paused = true)]
async fn so_many_handshakes_run_at_once_and_the_others_wait() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let layer = localhost(&dir, &ca).max_handshakes(2);
    // The limit is one for the clones of a layer.
    let mut running = Running::new(layer.clone()).await;
    let mut other = Running::new(layer).await;
    let _first = stalled(&running.clients, &ca).await;
    let _second = stalled(&other.clients, &ca).await;
    let began = Instant::now();
    sleep(4 * SECOND).await;
    let config = Arc::new(ca.believer(BOTH));
    let _third = running.connect(&config, "localhost").await.unwrap();
    assert_eq!(
        began.elapsed().as_secs(),
        10,
        "until one gave its place back"
    );
    timed_out(&mut running).await;
    timed_out(&mut other).await;
    // All places are free again.
    let _fourth = running.connect(&config, "localhost").await.unwrap();
    let _fifth = other.connect(&config, "localhost").await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_is_inside_the_time_limit() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let layer = localhost(&dir, &ca).max_handshakes(1);
    let slow: TlsLayer = layer.clone().timeout(None);
    let slow = Running::new(slow).await;
    let mut running = Running::new(layer).await;
    let _forever = stalled(&slow.clients, &ca).await;
    sleep(SECOND).await;
    let began = Instant::now();
    let config = Arc::new(ca.believer(BOTH));
    running.connect(&config, "localhost").await.unwrap_err();
    timed_out(&mut running).await;
    assert_eq!(began.elapsed().as_secs(), 10);
}
