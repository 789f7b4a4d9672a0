//! What counts as an offence, and whose it is.

use crate::support::{echo, echoes, until};
use axum::{Router, routing::get};
use reagent::{
    Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    access::{Access, AccessLayer, Bans, Rules},
    cluster::{Cluster, ClusterLayer, ClusterPerClient, Lost, MemoryStore},
    http::HttpLayer,
    limit::{AcceptRate, AcceptRateLayer, PerClient, PerClientLayer},
    proxy_protocol::{Header, ProxyProtocolLayer, Untrusted},
    score::{Offence, Score},
    timeout::TimeoutsLayer,
    tls::TlsLayer,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::sleep,
};

const CLIENT: &str = "192.0.2.1:4000";
const PROXY: &str = "10.0.0.7:4000";

fn score() -> Score {
    // Nobody is banned here.
    Score::new(Bans::new()).points(1e6, Duration::from_secs(1_000_000_000))
}

fn points(score: &Score, addr: &str) -> f64 {
    score
        .points_of(addr.parse::<SocketAddr>().unwrap().ip())
        .round()
}

async fn connect(clients: &Clients, addr: &str) -> DuplexStream {
    let addr: SocketAddr = addr.parse().unwrap();
    clients.connect_from(addr).await.unwrap()
}

/// Sends these bytes and waits until the server has closed the connection.
async fn send(server: &ServerHandle, clients: &Clients, addr: &str, bytes: &[u8]) {
    let ended = || {
        let stats = server.stats();
        let [well, badly] = [stats.completed, stats.failed + stats.disconnected];
        well + badly + stats.rejected + stats.timed_out
    };
    let before = ended();
    let mut client = connect(clients, addr).await;
    let _ = client.write_all(bytes).await;
    let _ = client.read_to_end(&mut Vec::new()).await;
    until("ended", || ended() > before).await;
}

/// A layer with a certificate of its own.
pub fn tls() -> TlsLayer {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = std::env::temp_dir();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = |kind| {
        dir.join(format!(
            "reagent-score-{}-{number}-{kind}.pem",
            std::process::id()
        ))
    };
    let (cert, key) = (file("cert"), file("key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let layer = TlsLayer::from_pem_files(&cert, &key).unwrap();
    std::fs::remove_file(cert).unwrap();
    std::fs::remove_file(key).unwrap();
    layer
}

macro_rules! start {
    ($score:expr $(, $layer:expr)* => $service:expr) => {{
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener).observe($score.clone())$(.layer($layer))*;
        (server.start($service).await.unwrap(), clients)
    }};
}

fn offences(score: &Score) -> HashMap<&'static str, u64> {
    let offences = score.stats().offences;
    offences
        .into_iter()
        .map(|(offence, count)| (offence.as_str(), count))
        .collect()
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_is_an_offence() {
    let score = score();
    let (server, clients) = start!(score, tls() => handle(echo));
    for _ in 0..3 {
        send(&server, &clients, CLIENT, b"GET / HTTP/1.1\r\n\r\n").await;
    }
    // A client that leaves without a word is no offender.
    drop(connect(&clients, CLIENT).await);
    until("left", || server.connection_count() == 0).await;
    assert_eq!(offences(&score), HashMap::from([("handshake", 3)]));
    assert_eq!(points(&score, CLIENT), 3.0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_is_an_offender_and_an_idle_one_is_not() {
    let score = score();
    let router = || Router::new().route("/", get(async || "hello"));
    let (server, clients) = start!(score, HttpLayer::new() => router());
    send(&server, &clients, CLIENT, b"GET / HTTP/1.1\r\nho").await;
    send(&server, &clients, CLIENT, b"").await;
    send(
        &server,
        &clients,
        CLIENT,
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    )
    .await;
    assert_eq!(offences(&score), HashMap::from([("slow", 1)]));
    let timeouts = TimeoutsLayer::new().min_rate(100, Duration::from_secs(10));
    let (server, clients) = start!(score, tls(), timeouts => handle(echo));
    send(&server, &clients, CLIENT, b"\x16\x03\x01").await;
    assert_eq!(offences(&score), HashMap::from([("slow", 2)]));
}

#[tokio::test]
async fn malformed_http_and_floods_of_resets_are_offences() {
    let score = score();
    let router = || Router::new().route("/", get(async || std::future::pending::<()>().await));
    let (server, clients) = start!(score, HttpLayer::new() => router());
    send(&server, &clients, CLIENT, b"nonsense\r\n\r\n").await;
    assert_eq!(offences(&score), HashMap::from([("protocol", 1)]));
    // CVE-2023-44487: `GET / http here` and a reset, for each stream.
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1..2000_u32).step_by(2).map(u32::to_be_bytes) {
        flood.extend(b"\0\0\x09\x01\x05");
        flood.extend(stream);
        flood.extend(b"\x82\x84\x86\x41\x04here");
        flood.extend(b"\0\0\x04\x03\0");
        flood.extend(stream);
        flood.extend([0, 0, 0, 8]);
    }
    send(&server, &clients, CLIENT, &flood).await;
    let expected = HashMap::from([("protocol", 1), ("rapid_reset", 1)]);
    assert_eq!(offences(&score), expected);
}

#[tokio::test]
async fn a_reset_right_after_some_bytes_is_an_offence_and_a_probe_is_not() {
    let score = score();
    let server = Server::bind("127.0.0.1:0").observe(score.clone());
    let server = server.start(handle(echo)).await.unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    for bytes in [&b"hello"[..], b""] {
        let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let client = client.unwrap();
        client.connect(&addr.into()).unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        client.send(bytes).unwrap();
        let is_read = || {
            server
                .connection(1)
                .is_some_and(|conn| conn.bytes_read() == 5)
        };
        until("read", || bytes.is_empty() || is_read()).await;
        drop(client);
        let ended = server.stats().disconnected + 1;
        until("reset", || server.stats().disconnected == ended).await;
    }
    assert_eq!(offences(&score), HashMap::from([("rapid_reset", 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_the_sake_of_the_client_is_an_offence_and_one_for_all_is_not() {
    let score = score();
    let rules = Rules::new().deny_all(["192.0.2.1"]).unwrap();
    let access = Access::new(rules);
    let (server, clients) = start!(score, AccessLayer::new(access.clone()) => handle(echo));
    send(&server, &clients, CLIENT, b"").await;
    assert_eq!(offences(&score), HashMap::from([("refusal", 1)]));
    access.bans().ban([192, 0, 2, 1].into(), Duration::MAX);
    send(&server, &clients, CLIENT, b"").await;
    assert_eq!(offences(&score), HashMap::from([("refusal", 1)]));

    let layer = PerClientLayer::new(PerClient::new(0));
    let (server, clients) = start!(score, layer => handle(echo));
    send(&server, &clients, CLIENT, b"").await;
    assert_eq!(offences(&score), HashMap::from([("refusal", 2)]));

    let (cluster, driver) = Cluster::builder("test").build(MemoryStore::new());
    let layer = ClusterLayer::new(ClusterPerClient::new(&cluster, "per-client", 0));
    let (server, clients) = start!(score, layer => handle(echo));
    tokio::select! {
        () = driver => unreachable!("the cluster is in use"),
        () = send(&server, &clients, CLIENT, b"") => {}
    }
    assert_eq!(offences(&score), HashMap::from([("refusal", 3)]));

    let layer = AcceptRateLayer::new(AcceptRate::new(0.0, 1.0)).shed(Default::default());
    let (server, clients) = start!(score, layer => handle(echo));
    assert!(echoes(&mut connect(&clients, CLIENT).await, "hello").await);
    send(&server, &clients, CLIENT, b"").await;
    let (cluster, _lost) = Cluster::builder("test")
        .lost(Lost::Closed)
        .build(MemoryStore::new());
    let layer = ClusterLayer::new(ClusterPerClient::new(&cluster, "per-client", 9));
    let (server, clients) = start!(score, layer => handle(echo));
    send(&server, &clients, CLIENT, b"").await;
    assert_eq!(offences(&score), HashMap::from([("refusal", 3)]));
}

async fn behind_proxies(score: &Score) -> (ServerHandle, Clients) {
    let proxies = ProxyProtocolLayer::new(["10.0.0.0/8".parse().unwrap()]);
    start!(score, proxies.untrusted(Untrusted::Refuse), tls() => handle(echo))
}

#[tokio::test(start_paused = true)]
async fn a_forged_header_is_an_offence_of_its_sender() {
    let score = score();
    let (server, clients) = behind_proxies(&score).await;
    let forged = Header::v1(
        "198.51.100.1:1".parse().unwrap(),
        "127.0.0.1:2".parse().unwrap(),
    );
    send(&server, &clients, CLIENT, &forged.encode().unwrap()).await;
    assert_eq!(offences(&score), HashMap::from([("proxy_header", 1)]));
    assert_eq!(
        (points(&score, CLIENT), points(&score, "198.51.100.1:1")),
        (1.0, 0.0)
    );
}

#[tokio::test(start_paused = true)]
async fn behind_a_proxy_the_client_is_the_offender_and_never_the_proxy() {
    let score = score();
    let (server, clients) = behind_proxies(&score).await;
    let garbage = |header: Header| [&*header.encode().unwrap(), b"garbage garbage"].concat();
    let client = Header::v2(
        CLIENT.parse::<SocketAddr>().unwrap(),
        PROXY.parse::<SocketAddr>().unwrap(),
    );
    send(&server, &clients, PROXY, &garbage(client)).await;
    assert_eq!(points(&score, CLIENT), 1.0);
    // Whatever a proxy does without the address of a client.
    let unix = |path: &str| reagent::Addr::Unix(Some(std::path::Path::new(path).into()));
    for bytes in [
        garbage(Header::v2_local()),
        garbage(Header::v2_unknown()),
        garbage(Header::v1_unknown()),
        garbage(Header::v2(unix("/client"), unix("/proxy"))),
        b"no header".to_vec(),
        b"PROXY TCP4 nonsense\r\n".to_vec(),
        b"PROX".to_vec(),
        b"".to_vec(),
    ] {
        send(&server, &clients, PROXY, &bytes).await;
    }
    assert_eq!(points(&score, PROXY), 0.0);
    assert_eq!(offences(&score), HashMap::from([("handshake", 1)]));
}

#[tokio::test(start_paused = true)]
async fn ones_own_offences_are_found_by_a_closure() {
    let score = score().classify(|event| {
        let is_long = event.connection.bytes_read() > 3;
        is_long
            .then_some(Offence::Custom("long"))
            .or_else(|| Offence::of(event))
    });
    let (server, clients) = start!(score => handle(echo));
    for bytes in [&b"long"[..], b"no"] {
        let mut client = connect(&clients, CLIENT).await;
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.stats().completed, 2);
    assert_eq!(offences(&score), HashMap::from([("long", 1)]));
}

/// Returns the number of allocations of this many good connections.
fn allocations(score: Option<Score>) -> u64 {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let (listener, clients) = MemoryListener::new();
    let mut server = Server::new(listener);
    if let Some(score) = score {
        server = server.observe(score);
    }
    let server = runtime.block_on(server.start(handle(echo))).unwrap();
    let serve = || {
        runtime.block_on(async {
            for _ in 0..100 {
                assert!(echoes(&mut connect(&clients, CLIENT).await, "hello").await);
                until("ended", || server.connection_count() == 0).await;
            }
        });
    };
    serve();
    allocation_counter::measure(serve).count_total
}

#[test]
fn a_good_connection_takes_no_memory() {
    let score = score();
    assert_eq!(allocations(Some(score.clone())), allocations(None));
    assert_eq!(score.stats().clients, 0);
}
