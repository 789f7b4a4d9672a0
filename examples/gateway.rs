//! A TCP and TLS gateway made of layers, such as one would put in front of a database.
//!
//! Run it with
//! `cargo run --release --example gateway -- --listen 127.0.0.1:6000 --to 127.0.0.1:5432`, and
//! connect to the database through it. `--help` lists all options. `kill -HUP PID` reloads the
//! certificates. Ctrl-C or SIGTERM drains the gateway; a second one stops it at once.
//! `RUST_LOG=debug` logs every connection.
//!
//! The options add these layers, in this order; without its option, a layer is not in the stack.
//!
//! 1. `--max-connections`, `--accept-rate`: clients in excess wait in the kernel's queue, where
//!    they cost nothing
//! 2. `--proxy-in`: everything below uses the client address reported by the proxy in front
//! 3. `--allow`, `--deny`, then `--per-client`: before the handshake, which is the expensive part
//! 4. `--tls-…`: everything below sees decrypted bytes
//! 5. `--first-byte-timeout`, `--idle-timeout`, `--max-age`, `--max-age-grace`
//! 6. `--bandwidth`
//! 7. the relay to `--to`, with a PROXY header if `--proxy-out` is set

#[path = "common/mod.rs"]
mod common;

use axum::{Router, routing::get};
use clap::{Parser, ValueEnum};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reagent::{Addr, BoxError, Connection, ErrorChain, IoStream, Server, ServerHandle};
use reagent_layers::{
    access::{Access, AccessLayer, Rules},
    bandwidth::{BandwidthLayer, BandwidthLimits, Rate},
    http::HttpLayer,
    limit::{AcceptRate, AcceptRateLayer, PerClient, PerClientLayer},
    metrics::MetricsObserver,
    proxy_protocol::{Header, Mode, ProxyProtocolLayer, Ssl, Tlv},
    relay::{Relay, Resettable},
    timeout::TimeoutsLayer,
    tls::{TlsInfo, TlsLayer, TlsReloader},
    trace::TraceObserver,
};
use std::{
    fmt,
    future::{Future, ready},
    io::{self, IsTerminal},
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    runtime,
    time::{sleep, timeout},
};
use tower::{Layer, Service, service_fn, util::BoxCloneService};

const AFTER_HELP: &str = "\
SIGHUP reloads the certificates. SIGTERM and Ctrl-C drain: no more clients are admitted, and open
connections may finish; a second signal stops the gateway at once. RUST_LOG=debug logs every
connection.";

/// Relays TCP connections, plain or TLS, to another server
#[derive(Clone, Debug, Parser)]
#[command(after_help = AFTER_HELP)]
struct Options {
    /// Address to listen on: HOST:PORT or the path of a Unix socket; may be repeated
    #[arg(long, required = true, value_name = "ADDR")]
    listen: Vec<String>,
    /// Address of the upstream: HOST:PORT or the path of a Unix socket
    #[arg(long, value_name = "ADDR", value_parser = Target::parse)]
    to: Target,
    /// Certificate chain for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Certificate authorities for clients, in PEM; clients without a certificate are refused
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// ALPN protocols in order of preference, separated by commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "tls_cert"
    )]
    alpn: Vec<String>,
    /// Whether proxies in front of the gateway send a PROXY header
    #[arg(long, value_name = "MODE", default_value = "off")]
    proxy_in: ProxyIn,
    /// Networks of trusted proxies, separated by commas; other clients are refused
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trust: Vec<reagent_layers::Network>,
    /// Version of the PROXY header sent to the upstream [default: no header]
    #[arg(long, value_name = "VERSION")]
    proxy_out: Option<ProxyOut>,
    /// Maximum number of open connections [default: unlimited]
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,
    /// Maximum number of open connections per IPv4 address or IPv6 /64 [default: unlimited]
    #[arg(long, value_name = "N")]
    per_client: Option<NonZeroUsize>,
    /// Maximum number of connections accepted per second [default: unlimited]
    #[arg(long, value_name = "N")]
    accept_rate: Option<NonZeroU32>,
    /// Maximum bandwidth of a connection in each direction, in bytes per second [default:
    /// unlimited]
    #[arg(long, value_name = "BYTES/S")]
    bandwidth: Option<NonZeroU64>,
    /// Time limit for the first byte of a client, in seconds [default: the idle timeout]
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds)]
    first_byte_timeout: Option<Duration>,
    /// Idle timeout in seconds, after which both sides are reset; 0 disables it
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "600")]
    idle_timeout: Duration,
    /// Maximum age of a connection in seconds. An older connection is closed once neither side has
    /// sent anything for a second [default: unlimited]
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds)]
    max_age: Option<Duration>,
    /// Additional time for a busy connection of that age, in seconds. After that both sides are
    /// reset, and data in transit is lost
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    max_age_grace: Duration,
    /// Networks to admit, separated by commas; all others are refused
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    allow: Vec<String>,
    /// Networks to refuse, separated by commas
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    deny: Vec<String>,
    /// Address to serve Prometheus metrics on: http://ADDR/metrics
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// Number of worker threads [default: number of cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Time limit of a drain in seconds. Connections are closed once neither side has sent anything
    /// for a second; those that remain at the limit are reset on both sides
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    drain: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum ProxyIn {
    Off,
    Optional,
    Required,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProxyOut {
    V1,
    V2,
}

fn seconds(text: &str) -> Result<Duration, BoxError> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// Parses a time limit that must not be 0, because 0 would end every connection at once.
fn some_seconds(text: &str) -> Result<Duration, BoxError> {
    match seconds(text)? {
        Duration::ZERO => Err("must be greater than 0; omit the option for no limit".into()),
        limit => Ok(limit),
    }
}

/// The address of the upstream.
#[derive(Clone, Debug)]
enum Target {
    Tcp(SocketAddr),
    /// Resolved for every connection, so that the upstream may move.
    Name(String),
    Unix(PathBuf),
}

impl Target {
    fn parse(text: &str) -> Result<Self, BoxError> {
        if let Some(path) = unix_path(text) {
            return Ok(Target::Unix(path.into()));
        }
        match (text.parse(), text.rsplit_once(':')) {
            (Ok(addr), _) => Ok(Target::Tcp(addr)),
            (_, Some((host, port))) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Target::Name(text.to_owned()))
            }
            _ => Err("expected HOST:PORT or the path of a Unix socket".into()),
        }
    }
}

/// Returns the path in `text`, which may have the prefix `unix:`.
fn unix_path(text: &str) -> Option<&Path> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    path.starts_with('/').then_some(Path::new(path))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(addr) => addr.fmt(f),
            Target::Name(name) => name.fmt(f),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The time limit for connecting to the upstream and sending it a PROXY header.
const CONNECT: Duration = Duration::from_secs(5);

/// The delay between attempts to connect to a Unix socket whose queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(20);

/// The innermost service: connects to the upstream, and relays bytes in both directions.
async fn forward(conn: Connection, options: Arc<Options>) -> Result<(), BoxError> {
    let header = match options.proxy_out {
        Some(version) => header(&conn, version)?,
        None => Vec::new(),
    };
    match &options.to {
        Target::Tcp(addr) => carry(conn, tcp(TcpStream::connect(addr)), header, &options.to).await,
        Target::Name(name) => carry(conn, tcp(TcpStream::connect(name)), header, &options.to).await,
        Target::Unix(path) => carry(conn, unix(path), header, &options.to).await,
    }
}

async fn tcp(connect: impl Future<Output = io::Result<TcpStream>>) -> io::Result<TcpStream> {
    let stream = connect.await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to a Unix socket. If its queue is full, `connect` does not wait as it does for TCP, but
/// fails with `EAGAIN` (see `unix(7)`), so it is retried.
async fn unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(QUEUE_FULL).await;
            }
            connected => return connected,
        }
    }
}

async fn carry<U>(
    conn: Connection,
    connect: impl Future<Output = io::Result<U>>,
    header: Vec<u8>,
    to: &Target,
) -> Result<(), BoxError>
where
    U: IoStream + Resettable,
{
    let connect = async {
        let mut upstream = connect.await?;
        upstream.write_all(&header).await?;
        io::Result::Ok(upstream)
    };
    let connected = timeout(CONNECT, connect).await;
    let upstream = connected
        .unwrap_or_else(|elapsed| Err(elapsed.into()))
        .map_err(|error| {
            tracing::warn!(upstream = %to, connection.id = conn.id(), %error, "upstream not reached");
            metrics::counter!(UPSTREAM_ERRORS).increment(1);
            format!("could not reach the upstream {to}: {error}")
        })?;
    let draining = conn.draining();
    Relay::new().run_until(conn, upstream, draining).await?;
    Ok(())
}

const UPSTREAM_ERRORS: &str = "gateway_upstream_errors_total";

/// Builds the PROXY header that describes the client to the upstream.
fn header(conn: &Connection, version: ProxyOut) -> Result<Vec<u8>, BoxError> {
    let (client, local) = (conn.peer_addr().clone(), conn.local_addr()?);
    let header = match (version, &client, &local) {
        (ProxyOut::V1, Addr::Tcp(client), Addr::Tcp(local)) => Header::v1(*client, *local),
        (ProxyOut::V1, ..) => Header::v1_unknown(),
        (ProxyOut::V2, ..) => {
            let mut header = Header::v2(client, local).checksum();
            if let Some(tls) = conn.extensions().get::<TlsInfo>() {
                header = header.tlv(Tlv::Ssl(ssl(tls)));
                if let Some(alpn) = tls.alpn() {
                    header = header.tlv(Tlv::Alpn(alpn.to_owned()));
                }
                if let Some(name) = tls.server_name() {
                    header = header.tlv(Tlv::Authority(name.to_owned()));
                }
            }
            header
        }
    };
    Ok(header.encode()?)
}

fn ssl(tls: &TlsInfo) -> Ssl {
    let has_certificate = !tls.peer_certificates().is_empty();
    // PP2_CLIENT_SSL, with PP2_CLIENT_CERT_CONN or PP2_CLIENT_CERT_SESS.
    let client = match (has_certificate, tls.is_resumed()) {
        (false, _) => 0x01,
        (true, false) => 0x01 | 0x02,
        (true, true) => 0x01 | 0x04,
    };
    Ssl {
        client,
        verify: u32::from(!has_certificate),
        version: Some(format!("TLSv{}", tls.version())),
        ..Ssl::default()
    }
}

/// The stack, independent of its layers.
type Stack = BoxCloneService<Connection, (), BoxError>;

/// Adapts the stack to connections with any stream.
#[derive(Clone)]
struct Inside(Stack);

impl<Io: IoStream> Service<Connection<Io>> for Inside {
    type Response = ();
    type Error = BoxError;
    type Future = <Stack as Service<Connection>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        self.0.call(conn.boxed())
    }
}

fn around<L>(layer: L, inside: Stack) -> Stack
where
    L: Layer<Inside>,
    L::Service:
        Service<Connection, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    BoxCloneService::new(layer.layer(Inside(inside)))
}

/// Builds the stack for the options, from the inside out. Also returns the handle that reloads its
/// certificates.
fn stack(options: &Arc<Options>) -> Result<(Stack, Option<TlsReloader>), BoxError> {
    let mut reloader = None;
    let forwarded = options.clone();
    let mut stack = BoxCloneService::new(service_fn(move |conn| forward(conn, forwarded.clone())));

    if let Some(bytes) = options.bandwidth {
        let limits = BandwidthLimits::new().per_connection(Rate::new(bytes.get()));
        stack = around(BandwidthLayer::new(limits), stack);
    }
    let idle = Some(options.idle_timeout).filter(|limit| !limit.is_zero());
    if idle.is_some() || options.first_byte_timeout.is_some() || options.max_age.is_some() {
        let limits = TimeoutsLayer::new()
            .first_byte(options.first_byte_timeout)
            .idle(idle)
            .write(idle)
            // The jitter keeps clients that connected together from reconnecting together.
            .max_age(
                options.max_age,
                options.max_age.unwrap_or_default() / 10,
                options.max_age_grace,
            );
        stack = around(limits, stack);
    }
    if let (Some(cert), Some(key)) = (&options.tls_cert, &options.tls_key) {
        let mut builder = TlsLayer::builder()
            .certificate(cert, key)
            .alpn(&options.alpn);
        if let Some(authorities) = &options.client_ca {
            builder = builder.require_client_certificates(authorities);
        }
        let tls = builder.build()?;
        reloader = Some(tls.reloader());
        stack = around(tls, stack);
    }
    if let Some(max) = options.per_client {
        stack = around(PerClientLayer::new(PerClient::new(max.get())), stack);
    }
    if !options.allow.is_empty() || !options.deny.is_empty() {
        let rules = Rules::new()
            .allow_all(&options.allow)?
            .deny_all(&options.deny)?;
        stack = around(AccessLayer::new(Access::new(rules)), stack);
    }
    if options.proxy_in == ProxyIn::Off && !options.trust.is_empty() {
        return Err("--trust requires --proxy-in".into());
    }
    if options.proxy_in != ProxyIn::Off {
        if options.trust.is_empty() {
            return Err("--proxy-in requires --trust, such as --trust 10.0.0.0/8".into());
        }
        let mode = match options.proxy_in {
            ProxyIn::Required => Mode::Required,
            _ => Mode::Optional,
        };
        let proxies = ProxyProtocolLayer::new(options.trust.iter().copied()).mode(mode);
        stack = around(proxies, stack);
    }
    if let Some(rate) = options.accept_rate {
        // The burst is one second's worth of connections.
        let rate = f64::from(rate.get());
        let rate = AcceptRate::new(rate, rate);
        stack = around(AcceptRateLayer::new(rate), stack);
    }
    Ok((stack, reloader))
}

async fn start(options: Arc<Options>) -> Result<(), BoxError> {
    let (stack, reloader) = stack(&options)?;
    let listen = options.listen.iter().map(|addr| match unix_path(addr) {
        Some(path) => format!("unix:{}", path.display()),
        None => addr.clone(),
    });
    let mut server = Server::bind(listen.collect::<Vec<_>>())
        .options(common::keepalive)
        .observe(
            TraceObserver::new()
                .end_level(tracing::Level::DEBUG)
                .failure_level(tracing::Level::INFO),
        );
    if let Some(max) = options.max_connections {
        server = server.max_connections(max.get());
    }
    let metrics = match &options.metrics {
        Some(addr) => {
            let recorder = PrometheusBuilder::new()
                .set_buckets(&[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])?;
            let page = recorder.install_recorder()?;
            metrics::describe_counter!(
                UPSTREAM_ERRORS,
                "Connections whose upstream could not be reached"
            );
            metrics::counter!(UPSTREAM_ERRORS).absolute(0);
            let observer = MetricsObserver::new();
            server = server.observe(observer.clone());
            Some((serve_metrics(addr, page.clone()).await?, page, observer))
        }
        None => None,
    };
    let signal = common::signal()?;
    let server = server.start(stack).await?;
    for addr in server.local_addrs() {
        common::print(format_args!("listening on {addr}"));
    }
    if let Some((metrics, ..)) = &metrics {
        common::print(format_args!("metrics on {}", metrics.local_addr()));
    }

    // Besides the upkeep of histograms, this timer saves a system call per connection. Tokio wakes
    // its driver for a timer that is earlier than all others, and no timeout is earlier than this
    // one.
    let upkeep = common::every(Duration::from_secs(1), || {
        if let Some((_, page, observer)) = &metrics {
            measure(observer, &server, reloader.as_ref());
            page.run_upkeep();
        }
    });
    let reload = common::on_reload(async || {
        let Some(reloader) = &reloader else {
            return tracing::warn!("nothing to reload");
        };
        let reloaded = reloader.reload().await;
        if let Some((.., observer)) = &metrics {
            observer.certificates_reloaded(reloaded.is_ok());
        }
        match reloaded {
            Ok(()) => tracing::info!("certificates reloaded"),
            Err(error) => {
                let error = ErrorChain(&*error);
                tracing::error!(%error, "certificates not reloaded; the old ones remain in use");
            }
        }
    })?;
    tokio::select! {
        () = signal => {}
        never = upkeep => match never {},
        never = reload => match never {},
    }
    common::drain_on(&server, ready(()), options.drain).await?;
    Ok(())
}

/// Updates the metrics that no event updates: the bytes of open connections, and the expiry of
/// certificates.
fn measure(observer: &MetricsObserver, server: &ServerHandle, reloader: Option<&TlsReloader>) {
    observer.refresh(server);
    for certificate in reloader.into_iter().flat_map(TlsReloader::certificates) {
        if let Some(not_after) = certificate.not_after {
            observer.set_certificate_expiry(certificate.name.as_deref(), not_after);
        }
    }
}

async fn serve_metrics(addr: &str, page: PrometheusHandle) -> Result<ServerHandle, BoxError> {
    let page = Router::new().route("/metrics", get(move || async move { page.render() }));
    Ok(Server::bind(addr)
        .max_connections(100)
        .layer(TimeoutsLayer::new())
        .layer(HttpLayer::new())
        .start(page)
        .await?)
}

fn main() -> ExitCode {
    match run(Arc::new(Options::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        // Printed with `Display`, in the same form as clap's errors.
        Err(error) => {
            eprintln!("error: {}", ErrorChain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Arc<Options>) -> Result<(), BoxError> {
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    let threads = options.threads.map(NonZeroUsize::get);
    let mut runtime = match threads {
        Some(1) => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build()?;
    let ended = runtime.block_on(start(options));
    // Does not wait for a file read that hangs on an unresponsive disk.
    runtime.shutdown_background();
    ended
}
