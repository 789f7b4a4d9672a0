//! Timeouts and the limit on handshakes, with a paused clock.

use super::{
    failures::hello,
    pki::{BOTH, Ca, Dir, EACH},
    running::{Running, close, connect, localhost},
};
use crate::support::outcome;
use reagent::{Outcome, testing::Clients};
use reagent_layers::tls::{TlsLayer, rustls};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinSet,
    time::Instant,
};

const SECOND: Duration = Duration::from_secs(1);

/// A client that stops in the middle of a handshake, while the server waits for it.
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
async fn clients_that_stop_in_a_handshake_do_not_delay_others() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let layer = localhost(&dir, &ca).max_handshakes(1);
    let mut running = Running::new(layer).await;
    let mut stopped = Vec::new();
    for _ in 0..100 {
        let mut client = stalled(&running.clients, &ca).await;
        // The client has the server's reply, and stalls.
        client.read_u8().await.unwrap();
        stopped.push(client);
    }
    let began = Instant::now();
    for version in EACH {
        let config = Arc::new(ca.believer(&[version]));
        let client = running.connect(&config, "localhost").await.unwrap();
        close(client).await;
        assert!(matches!(running.end().await, Outcome::Completed));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    for _ in 0..100 {
        timed_out(&mut running).await;
    }
}

/// Counts the handshakes that ask for a certificate at the same time.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn ResolvesServerCert>,
    now: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl ResolvesServerCert for Watched {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..200 {
            std::thread::yield_now();
        }
        let key = self.inner.resolve(hello);
        self.now.fetch_sub(1, Ordering::SeqCst);
        key
    }
}

async fn most_at_once(limit: Option<usize>) -> usize {
    let ca = Ca::new("ca");
    let made = ca.server(&["localhost"]);
    let builder = || {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
    };
    let chain = vec![made.cert.clone()];
    let single = builder().with_single_cert(chain, made.key_der()).unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let config = builder().with_cert_resolver(Arc::new(Watched {
        inner: single.cert_resolver.clone(),
        now: AtomicUsize::new(0),
        most: most.clone(),
    }));
    // The clock is real here, and the machine may be slow.
    let layer = TlsLayer::from_config(Arc::new(config)).timeout(None);
    let running = Running::new(layer.max_handshakes(limit)).await;
    let config = Arc::new(ca.believer(BOTH));
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let (to, config) = (running.clients.clone(), config.clone());
        clients.spawn(async move { drop(connect(&to, &config, "localhost").await.unwrap()) });
    }
    clients.join_all().await;
    most.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_handshakes_compute_at_once_than_are_allowed() {
    assert_eq!(most_at_once(Some(1)).await, 1);
    assert!(most_at_once(Some(2)).await <= 2);
}
