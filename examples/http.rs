//! An axum router with everything a production server needs: HTTP/1 and HTTP/2, plain and TLS on
//! the same port, the PROXY protocol, limits, metrics and a graceful shutdown.
//!
//! Run it with `cargo run --release --example http`, request `curl http://127.0.0.1:7000/`, and
//! stop it with Ctrl-C or SIGTERM; requests in progress are finished. With
//! `--tls-cert FILE --tls-key FILE`, `curl -k https://127.0.0.1:7000/` works too, on the same
//! address; SIGHUP reloads both files. `--help` lists all options.
//!
//! | path | response |
//! |---|---|
//! | `/` | `hello` |
//! | `/info` | information about the connection, as JSON |
//! | `/slow?ms=N` | `slow`, after `N` milliseconds |
//! | `/big?bytes=N` | `N` bytes, streamed |
//! | `/echo` | the body of a POST request, streamed |
//! | `/connections` | all open connections, as JSON |
//! | `/metrics` | metrics for Prometheus |
//! | `/ws` | a WebSocket that echoes |

#[path = "common/mod.rs"]
mod common;

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{
        ConnectInfo, Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::{any, get, post},
};
use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reagent::{BoxError, ErrorChain, Server, ServerHandle};
use reagent_layers::{
    http::{HttpConnection, HttpLayer},
    limit::{PerClient, PerClientLayer},
    metrics::MetricsObserver,
    pressure::Pressure,
    proxy_protocol::{Mode, ProxyProtocolLayer},
    route::{self, protocol},
    sniff::{Protocol, SniffLayer},
    timeout::TimeoutsLayer,
    tls::{TlsInfo, TlsLayer, TlsReloader},
};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tower::{Layer, util::option_layer};

/// Serves an axum router over HTTP and HTTPS on one port
#[derive(Parser)]
#[command(name = "http")]
struct Options {
    /// Address to listen on: HOST:PORT
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    listen: String,
    /// Certificate chain for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Whether proxies in front of the server send a PROXY header
    #[arg(long, value_name = "MODE", default_value = "off")]
    proxy_in: ProxyIn,
    /// Networks of trusted proxies, separated by commas; other clients are refused
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trust: Vec<reagent_layers::Network>,
    /// Maximum number of open connections per client [default: unlimited]
    #[arg(long, value_name = "N")]
    per_client: Option<NonZeroUsize>,
    /// Maximum number of open connections
    #[arg(long, value_name = "N", default_value = "10000")]
    max_connections: NonZeroUsize,
    /// Time limit for a client that stalls a request or its response, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    stream_idle_timeout: NonZeroU64,
    /// Close idle connections, and let new clients wait, when descriptors or memory become short
    #[arg(long)]
    pressure: bool,
}

/// Ends the program with an error about its options.
fn refuse(message: &str) -> ! {
    let kind = ErrorKind::MissingRequiredArgument;
    Options::command().error(kind, message).exit()
}

#[derive(Clone, Copy, ValueEnum)]
enum ProxyIn {
    Off,
    Optional,
    Required,
}

/// State shared by the handlers.
#[derive(Clone)]
struct App {
    server: Arc<OnceLock<ServerHandle>>,
    metrics: PrometheusHandle,
}

async fn info(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(connection): Extension<HttpConnection>,
) -> Json<Value> {
    let tls = connection.get::<TlsInfo>();
    let alpn = tls.and_then(TlsInfo::alpn);
    Json(json!({
        "connection_id": connection.handle().id(),
        "peer": peer.to_string(),
        "tls": tls.map(TlsInfo::version),
        "server_name": tls.and_then(TlsInfo::server_name),
        "alpn": alpn.map(String::from_utf8_lossy),
        "proxy": connection.handle().socket_addr().to_string(),
    }))
}

async fn connections(State(app): State<App>) -> Json<Value> {
    let all = app.server.get().map(ServerHandle::connections);
    let all = all.unwrap_or_default().into_iter().map(|connection| {
        json!({
            "id": connection.id,
            "peer": connection.peer_addr.to_string(),
            "age_ms": connection.age.as_millis() as u64,
            "phase": format!("{:?}", connection.phase).to_lowercase(),
            "secure": connection.is_secure,
            "bytes_read": connection.bytes_read,
            "bytes_written": connection.bytes_written,
        })
    });
    Json(all.collect())
}

#[derive(serde::Deserialize)]
struct Slow {
    ms: u64,
}

async fn slow(Query(Slow { ms }): Query<Slow>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "slow"
}

#[derive(serde::Deserialize)]
struct Big {
    bytes: usize,
}

/// Streams the response, so that no more of it is produced than the client reads.
async fn big(Query(Big { bytes }): Query<Big>) -> Body {
    static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let pieces = (0..bytes).step_by(PIECE.len()).map(move |from| {
        let n = PIECE.len().min(bytes - from);
        Ok::<_, Infallible>(Bytes::from_static(&PIECE[..n]))
    });
    Body::from_stream(tokio_stream::iter(pieces))
}

/// Streams the request body back.
async fn echo(body: Body) -> Body {
    body
}

async fn websocket(
    upgrade: WebSocketUpgrade,
    Extension(connection): Extension<HttpConnection>,
) -> Response {
    upgrade.on_upgrade(|socket| echo_messages(socket, connection))
}

/// The connection is still counted and listed, and still learns about a drain.
async fn echo_messages(mut socket: WebSocket, connection: HttpConnection) {
    let mut draining = connection.handle().draining();
    loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            () = &mut draining => {
                let _ = socket.send(Message::Close(None)).await;
                return;
            }
        };
        let result = match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                socket.send(message).await
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            Some(Ok(_)) => Ok(()),
        };
        if result.is_err() {
            return;
        }
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/info", get(info))
        .route("/slow", get(slow))
        .route("/big", get(big))
        .route("/echo", post(echo))
        .route("/connections", get(connections))
        .route(
            "/metrics",
            get(|State(app): State<App>| async move { app.metrics.render() }),
        )
        .route("/ws", any(websocket))
        .with_state(app)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let options = Options::parse();
    // Without buckets, durations are exported as quantiles, which cannot be aggregated over
    // servers.
    let recorder = PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])?
        .build_recorder();
    let metrics = recorder.handle();
    let observer = MetricsObserver::with_recorder(recorder);
    let app = App {
        server: Arc::default(),
        metrics: metrics.clone(),
    };
    let signal = common::signal()?;

    // From the inside out: HTTP, then timeouts, which see decrypted bytes, then TLS for the clients
    // that start with a handshake.
    let http = HttpLayer::new()
        .connect_info(ConnectInfo)
        .stream_idle_timeout(Duration::from_secs(options.stream_idle_timeout.get()))
        .layer(router(app.clone()));
    // The idle timeout is left to the HTTP layer, which can tell a long poll from an idle
    // connection.
    let http = TimeoutsLayer::new().idle(None).layer(http);
    let mut by_protocol = route::Router::new();
    let mut reloader = None;
    if let (Some(cert), Some(key)) = (&options.tls_cert, &options.tls_key) {
        let tls = TlsLayer::builder()
            .certificate(cert, key)
            .alpn(["h2", "http/1.1"])
            .build()?;
        reloader = Some(tls.reloader());
        by_protocol = by_protocol.route(protocol(Protocol::Tls), tls.layer(http.clone()));
    }
    let by_protocol = by_protocol.fallback(http);

    match (options.proxy_in, options.trust.is_empty()) {
        (ProxyIn::Off, false) => refuse("--trust requires --proxy-in"),
        (ProxyIn::Optional | ProxyIn::Required, true) => {
            refuse("--proxy-in requires --trust, such as --trust 10.0.0.0/8")
        }
        _ => {}
    }
    let proxy = ProxyProtocolLayer::new(options.trust).mode(match options.proxy_in {
        ProxyIn::Off => Mode::Off,
        ProxyIn::Optional => Mode::Optional,
        ProxyIn::Required => Mode::Required,
    });
    let per_client = options
        .per_client
        .map(|max| PerClientLayer::new(PerClient::new(max.get())));
    let pressure = Pressure::builder().standard_sources().build();
    let under_pressure = options.pressure.then(|| pressure.layer());
    let server = Server::bind(options.listen.as_str())
        .max_connections(options.max_connections.get())
        .options(common::keepalive)
        .observe(observer.clone())
        .layer(option_layer(under_pressure))
        .layer(proxy)
        .layer(option_layer(per_client))
        .layer(SniffLayer::new())
        .start(by_protocol)
        .await?;
    if options.pressure {
        pressure.attach(&server);
    }
    let _ = app.server.set(server.clone());
    let reload = common::on_reload(async || match &reloader {
        Some(tls) => {
            let reloaded = tls.reload().await;
            observer.certificates_reloaded(reloaded.is_ok());
            match reloaded {
                Ok(()) => common::print("certificate reloaded"),
                Err(error) => common::print(format_args!(
                    "certificate not reloaded: {}",
                    ErrorChain(&*error)
                )),
            }
        }
        None => common::print("nothing to reload"),
    })?;
    // Updates the metrics that no event updates, and bounds the histograms that nobody fetches.
    let upkeep = common::every(Duration::from_secs(1), || {
        observer.refresh(&server);
        for certificate in reloader.iter().flat_map(TlsReloader::certificates) {
            if let Some(not_after) = certificate.not_after {
                observer.set_certificate_expiry(certificate.name.as_deref(), not_after);
            }
        }
        metrics.run_upkeep();
    });
    common::print(format_args!("listening on {}", server.local_addr()));

    let report = tokio::select! {
        report = common::drain_on(&server, signal, Duration::from_secs(10)) => report?,
        never = upkeep => match never {},
        never = reload => match never {},
    };
    common::print(format_args!(
        "{} connections finished, {} aborted",
        report.finished, report.aborted
    ));
    Ok(())
}
