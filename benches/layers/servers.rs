//! The compared servers, one per line, each with the name of its baseline.

use crate::{
    kit::Kit,
    load::Client,
    pool::{Place, Starting},
};
use reagent::{BoxError, Connection, IoStream, Server, ServerHandle, handle};
use reagent_layers::{
    access::{Access, AccessLayer, Rules},
    bandwidth::{BandwidthLayer, BandwidthLimits, Rate},
    cluster::{Cluster, ClusterLayer, ClusterPerClient, MemoryStore, Mode},
    fault::FaultLayer,
    limit::{
        AcceptRate, AcceptRateLayer, InFlightLayer, PerClient, PerClientLayer, PerClientRate,
        PerClientRateLayer,
    },
    metrics::MetricsObserver,
    pressure::Pressure,
    proxy_protocol::ProxyProtocolLayer,
    route::Router,
    sniff::SniffLayer,
    timeout::TimeoutsLayer,
    trace::{TraceLayer, TraceObserver},
};
use std::io;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tracing_subscriber::filter::LevelFilter;

pub struct Kind {
    pub name: &'static str,
    /// The name of the server it is compared with.
    pub against: &'static str,
    pub client: Client,
    /// The level of the tracing subscriber on its thread, if there is one.
    pub traced: Option<LevelFilter>,
    pub start: fn(&Kit) -> Starting,
}

/// A server with these layers.
macro_rules! layers {
    ($($layer:expr),* $(,)?) => {
        Place::of_pool(pool()$(.layer($layer))*.start(handle(echo::<Connection>)))
    };
}

macro_rules! kind {
    ($name:literal, $against:expr, $client:ident, $start:expr) => {
        kind!($name, $against, $client, None, $start)
    };
    ($name:literal, $against:expr, $client:ident, $traced:expr, $start:expr) => {
        Kind {
            name: $name,
            against: $against,
            client: Client::$client,
            traced: $traced,
            start: $start,
        }
    };
}

pub const TOKIO: &str = "bare Tokio";
pub const NONE: &str = "no layer";
pub const TOKIO_TLS: &str = "bare tokio-rustls";
pub const TLS: &str = "tls";

/// Servers with a subscriber are last, because a subscriber in the process affects all servers.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    kind!("bare Tokio", TOKIO, Plain, |_| tokio()),
    kind!("no layer", TOKIO, Plain, |_| layers!()),
    kind!("limit: accept rate", NONE, Plain, |_| layers!(AcceptRateLayer::new(rate()))),
    kind!("limit: in flight", NONE, Plain, |_| layers!(InFlightLayer::new(reagent::Limit::new(FAR)))),
    kind!("limit: per client", NONE, Plain, |_| layers!(PerClientLayer::new(PerClient::new(FAR)))),
    kind!("limit: per client rate", NONE, Plain, |_| layers!(PerClientRateLayer::new(client_rate()))),
    kind!("cluster: per client, quota", NONE, Plain, |_| Place::of_pool(cluster(Mode::Quota))),
    kind!("cluster: per client, exact", NONE, Plain, |_| Place::of_pool(cluster(Mode::Exact))),
    kind!("pressure, calm", NONE, Plain, |_| Place::of_pool(pressure())),
    kind!("access", NONE, Plain, |_| layers!(AccessLayer::new(access()))),
    kind!("bandwidth, no limit", NONE, Plain, |_| layers!(BandwidthLayer::new(BandwidthLimits::new()))),
    kind!("bandwidth, all limits", NONE, Plain, |_| layers!(BandwidthLayer::new(bandwidth()))),
    kind!("proxy_protocol", NONE, Header, |_| layers!(trusting())),
    kind!("sniff", NONE, Plain, |_| layers!(SniffLayer::new())),
    kind!("route", NONE, Plain, |_| Place::of_pool(pool().start(router()))),
    kind!("fault, none", NONE, Plain, |_| layers!(FaultLayer::new(0))),
    kind!("timeout", NONE, Plain, |_| layers!(TimeoutsLayer::new())),
    kind!("metrics", NONE, Plain, |_| Place::of_pool(
        pool().observe(prometheus()).start(handle(echo::<Connection>)))),
    kind!("trace, no subscriber", NONE, Plain, |_| Place::of_pool(
        pool().observe(TraceObserver::new()).layer(TraceLayer::new()).start(handle(echo::<Connection>)))),
    kind!("all layers but TLS", NONE, Header, |_| Place::of_pool(
        pool()
            .observe(prometheus())
            .observe(TraceObserver::new())
            .layer(AcceptRateLayer::new(rate()))
            .layer(InFlightLayer::new(reagent::Limit::new(FAR)))
            .layer(trusting())
            .layer(TraceLayer::new())
            .layer(AccessLayer::new(access()))
            .layer(PerClientLayer::new(PerClient::new(FAR)))
            .layer(PerClientRateLayer::new(client_rate()))
            .layer(BandwidthLayer::new(bandwidth()))
            .layer(TimeoutsLayer::new())
            .layer(SniffLayer::new())
            .start(router()))),
    kind!("bare tokio-rustls", TOKIO_TLS, Tls, |kit| tokio_tls(kit)),
    kind!("tls", TOKIO_TLS, Tls, |kit| layers!(kit.layer.clone())),
    kind!("trace, at INFO", NONE, Plain, Some(LevelFilter::INFO), |_| Place::of_pool(
        pool().observe(TraceObserver::new()).layer(TraceLayer::new()).start(handle(echo::<Connection>)))),
    kind!("trace, at DEBUG", NONE, Plain, Some(LevelFilter::DEBUG), |_| Place::of_pool(
        pool().observe(TraceObserver::new()).layer(TraceLayer::new()).start(handle(echo::<Connection>)))),
];

/// A limit that is never reached.
const FAR: usize = 1_000_000;

/// The store is in memory, so the cost of exact mode lacks that of Redis and its client.
#[expect(clippy::disallowed_methods, reason = "the program spawns the driver")]
async fn cluster(mode: Mode) -> Result<ServerHandle, BoxError> {
    let (cluster, driver) = Cluster::builder("bench")
        .mode(mode)
        .build(MemoryStore::new());
    tokio::spawn(driver);
    let limit = ClusterPerClient::new(&cluster, "per-client", FAR as u32);
    let server = pool().layer(ClusterLayer::new(limit));
    Ok(server.start(handle(echo::<Connection>)).await?)
}

async fn pressure() -> Result<ServerHandle, BoxError> {
    let pressure = Pressure::builder().standard_sources().build();
    let server = pool().layer(pressure.layer());
    let server = server.start(handle(echo::<Connection>)).await?;
    pressure.attach(&server);
    Ok(server)
}

fn rate() -> AcceptRate {
    AcceptRate::new(1e9, 1e9)
}

fn client_rate() -> PerClientRate {
    PerClientRate::new(1e9, 1e9)
}

/// As many rules as are realistic.
fn access() -> Access {
    let nets = (0..100).map(|n| format!("10.{n}.0.0/16"));
    let rules = Rules::new().deny_all(nets).expect("networks");
    let access = Access::new(rules);
    let banned = "192.0.2.1".parse().expect("an address");
    access.bans().ban(banned, std::time::Duration::MAX);
    access
}

/// Builds a router that chooses the second of its two routes.
fn router<Io: IoStream>() -> Router<Io> {
    Router::new()
        .route(
            |conn: &Connection<Io>| conn.is_secure(),
            handle(echo::<Connection>),
        )
        .fallback(handle(echo::<Connection>))
}

fn bandwidth() -> BandwidthLimits {
    let plenty = Rate::new(1 << 40);
    BandwidthLimits::new()
        .per_connection(plenty)
        .per_client(plenty)
        .total(plenty)
}

fn trusting() -> ProxyProtocolLayer {
    ProxyProtocolLayer::new(["127.0.0.0/8".parse().expect("a network")])
}

fn prometheus() -> MetricsObserver {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    MetricsObserver::with_recorder(recorder)
}

fn pool() -> Server {
    Server::bind("127.0.0.1:0")
}

/// Echoes with a buffer of 4 KiB.
pub async fn echo<Io: AsyncRead + AsyncWrite + Unpin>(mut io: Io) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match io.read(&mut buf).await? {
            0 => return Ok(()),
            n => io.write_all(&buf[..n]).await?,
        }
    }
}

fn tokio() -> Starting {
    Box::pin(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let place = Place::of_loop(&listener)?;
        let open = place.open();
        #[expect(clippy::disallowed_methods, reason = "the baseline")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let one = open.one();
                tokio::spawn(async move {
                    let _ = echo(stream).await;
                    drop(one);
                });
            }
        });
        Ok(place)
    })
}

fn tokio_tls(kit: &Kit) -> Starting {
    let acceptor = kit.acceptor.clone();
    Box::pin(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let place = Place::of_loop(&listener)?;
        let open = place.open();
        #[expect(clippy::disallowed_methods, reason = "the baseline")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (one, acceptor) = (open.one(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = echo(stream).await;
                    }
                    drop(one);
                });
            }
        });
        Ok(place)
    })
}
