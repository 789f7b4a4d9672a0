//! Clients without an IP address behind a trusted proxy: every layer treats them as the proxy.

use crate::support::{Ends, LONG, Served, echo, echoes};
use reagent::{
    Addr, ConnectionService, Outcome, Server, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    access::{Access, AccessLayer, Rules},
    bandwidth::{BandwidthLayer, BandwidthLimits, Rate},
    limit::{PerClient, PerClientLayer, PerClientRate, PerClientRateLayer},
    proxy_protocol::{Header, ProxyProtocolLayer},
};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};
use tower::Layer;

const PROXY: [u8; 4] = [10, 0, 0, 7];

macro_rules! start {
    ($layer:expr) => {
        start($layer.layer(handle(echo))).await
    };
}

async fn start<S>(service: S) -> (Served, Clients)
where
    S: ConnectionService<reagent_layers::PrefixedIo<reagent::BoxIo>> + Clone,
{
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener)
        .observe(ends.clone())
        .layer(ProxyProtocolLayer::new(["10.0.0.0/8".parse().unwrap()]))
        .start(service)
        .await
        .unwrap();
    (Served { server, ends }, clients)
}

/// Returns a client that connected to the proxy over a Unix socket.
async fn relayed(clients: &Clients) -> DuplexStream {
    let unix = |path: &str| Addr::Unix(Some(Path::new(path).into()));
    let header = Header::v2(unix("/run/client.sock"), unix("/run/proxy.sock"));
    let proxy = SocketAddr::from((PROXY, 40000));
    let mut client = clients.connect_from(proxy).await.unwrap();
    client.write_all(&header.encode().unwrap()).await.unwrap();
    client
}

async fn is_refused(server: &Served, id: u64, reason: &str) -> bool {
    matches!(server.ends.of(id).await, Outcome::Rejected(rejected) if rejected.reason() == reason)
}

#[tokio::test(start_paused = true)]
async fn access_rules_and_bans_hold_for_the_proxy_of_a_unix_client() {
    let allowed = Access::new(Rules::new().allow_all(["192.0.2.0/24"]).unwrap());
    let (server, clients) = start!(AccessLayer::new(allowed));
    let _client = relayed(&clients).await;
    assert!(is_refused(&server, 1, "access").await);

    let banned = Access::new(Rules::new());
    banned.bans().ban(PROXY.into(), Duration::from_secs(60));
    let (server, clients) = start!(AccessLayer::new(banned.clone()));
    let _client = relayed(&clients).await;
    assert!(is_refused(&server, 1, "banned").await);
    banned.bans().unban(PROXY.into());
    assert!(echoes(&mut relayed(&clients).await, "hello").await);
}

#[tokio::test(start_paused = true)]
async fn connections_and_rates_count_for_the_proxy_of_a_unix_client() {
    let limit = PerClient::new(1);
    let (server, clients) = start!(PerClientLayer::new(limit.clone()));
    let mut first = relayed(&clients).await;
    assert!(echoes(&mut first, "hello").await);
    assert_eq!(limit.connections(PROXY.into()), 1);
    let _second = relayed(&clients).await;
    assert!(is_refused(&server, 2, "client connections").await);

    let rate = PerClientRate::new(0.0, 1.0);
    let (server, clients) = start!(PerClientRateLayer::new(rate));
    let mut first = relayed(&clients).await;
    assert!(echoes(&mut first, "hello").await);
    let _second = relayed(&clients).await;
    assert!(is_refused(&server, 2, "client rate").await);
}

async fn exchange(client: &mut DuplexStream) {
    let (mut reader, mut writer) = tokio::io::split(client);
    let mut answer = vec![0; 1050];
    let (sent, read) = tokio::join!(writer.write_all(&[0; 1050]), reader.read_exact(&mut answer));
    sent.and(read.map(drop)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn bandwidth_counts_for_the_proxy_of_a_unix_client() {
    let limits = BandwidthLimits::new().per_client(Rate::new(1000));
    let (_server, clients) = start!(BandwidthLayer::new(limits.clone()));
    let (mut one, mut two) = (relayed(&clients).await, relayed(&clients).await);
    let began = Instant::now();
    tokio::time::timeout(LONG, async {
        tokio::join!(exchange(&mut one), exchange(&mut two))
    })
    .await
    .unwrap();
    // Two thousand bytes, with the burst of a single client.
    assert_eq!((began.elapsed().as_secs(), limits.clients()), (2, 1));
}
