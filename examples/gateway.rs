//! A TCP and TLS gateway, made of layers: what one could put in front of a database.
//!
//! Run it with `cargo run --release --example gateway -- --listen 127.0.0.1:6000 --to 127.0.0.1:5432`, and talk to
//! what is behind it through it. `--help` lists what else it does. `kill -HUP PID` loads certificates anew;
//! Ctrl-C and SIGTERM drain it, and a second one ends it at once. `RUST_LOG=debug` tells of every connection.
//!
//! What is asked for is stacked in this order, and nothing else:
//!
//! 1. `--max-connections`, `--accept-rate`: who is too many waits in the kernel's queue, and costs nothing
//! 2. `--proxy-in`: everything that follows goes by the client that a proxy in front names
//! 3. `--allow`, `--deny`, then `--per-client`: before the handshake, which is what costs
//! 4. `--tls-…`: what follows sees the client's own bytes
//! 5. `--first-byte-timeout`, `--idle-timeout`, `--max-age`, `--max-age-grace`
//! 6. `--bandwidth`
//! 7. the relay to `--to`, with a header by `--proxy-out`

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
    future::Future,
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
SIGHUP loads the certificates anew. SIGTERM and Ctrl-C drain: nobody is admitted any more, and who is there may
finish; a second signal ends it at once. RUST_LOG=debug tells of every connection.";

/// Carries TCP connections, plain or TLS, to another server.
#[derive(Clone, Debug, Parser)]
#[command(after_help = AFTER_HELP)]
struct Options {
    /// Where to listen: HOST:PORT or the path of a Unix socket; may be given more than once
    #[arg(long, required = true, value_name = "ADDR")]
    listen: Vec<String>,
    /// Where to: HOST:PORT or the path of a Unix socket
    #[arg(long, value_name = "ADDR", value_parser = Target::parse)]
    to: Target,
    /// The certificate (chain) to serve clients with, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Admit only clients with a certificate of one of these authorities
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// The protocols to agree on one of, the best first
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "tls_cert"
    )]
    alpn: Vec<String>,
    /// Whether proxies in front send a PROXY header
    #[arg(long, value_name = "MODE", default_value = "off")]
    proxy_in: ProxyIn,
    /// The proxies whose headers count; whoever else comes is refused
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    trust: Vec<reagent_layers::Network>,
    /// Send a PROXY header
    #[arg(long, value_name = "VERSION")]
    proxy_out: Option<ProxyOut>,
    /// How many connections may be open at once
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,
    /// How many connections one client may have: an IPv4 address, or an IPv6 /64
    #[arg(long, value_name = "N")]
    per_client: Option<NonZeroUsize>,
    /// How many connections are accepted a second
    #[arg(long, value_name = "N")]
    accept_rate: Option<NonZeroU32>,
    /// How many bytes a second a connection may carry, each way
    #[arg(long, value_name = "BYTES/S")]
    bandwidth: Option<NonZeroU64>,
    /// How long a client may take to send anything [default: as long as it may be idle]
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds)]
    first_byte_timeout: Option<Duration>,
    /// How long nothing may go either way; 0 is for ever. Then both sides are reset
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "600")]
    idle_timeout: Duration,
    /// How old a connection may get. Then it is closed as soon as neither side says anything for a second
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds)]
    max_age: Option<Duration>,
    /// How long a connection of that age may go on. Then both sides are reset, and what is under way is lost
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    max_age_grace: Duration,
    /// Networks to admit, and with the first no other
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    allow: Vec<String>,
    /// Networks to refuse
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    deny: Vec<String>,
    /// Where to serve metrics for Prometheus: http://ADDR/metrics
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// How long connections may take to end after SIGTERM; those in which neither side says anything for a
    /// second are closed. What is left then is reset on both sides
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

/// Of what would end every connection at once.
fn some_seconds(text: &str) -> Result<Duration, BoxError> {
    match seconds(text)? {
        Duration::ZERO => Err("it has to be more than 0; for no limit leave it out".into()),
        limit => Ok(limit),
    }
}

/// Where the upstream is.
#[derive(Clone, Debug)]
enum Target {
    Tcp(SocketAddr),
    /// It is looked up for each connection, so that it may move.
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
            _ => Err("neither HOST:PORT nor the path of a Unix socket".into()),
        }
    }
}

/// A path may be given as it is, or after `unix:`.
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

/// How long an upstream may take to accept a connection, and to take its PROXY header.
const CONNECT: Duration = Duration::from_secs(5);

/// When a full queue is tried again.
const QUEUE_FULL: Duration = Duration::from_millis(20);

/// What the stack ends in: it connects to the upstream, and carries bytes there and back.
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

/// While its queue is full a Unix socket does not let wait who connects, as a TCP socket does, but says so
/// (`EAGAIN`, `unix(7)`).
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

/// What the upstream is told of the client.
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

/// A stack, whatever its layers are.
type Stack = BoxCloneService<Connection, (), BoxError>;

/// Takes connections with whatever stream the layer around it made.
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

/// The stack that the options ask for, from the inside to the outside, and what reloads its certificates.
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
            // Those that came together shall not come back together.
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
        return Err("--trust says nothing without --proxy-in".into());
    }
    if options.proxy_in != ProxyIn::Off {
        if options.trust.is_empty() {
            return Err("--proxy-in needs the proxies to trust, such as --trust 10.0.0.0/8".into());
        }
        let mode = match options.proxy_in {
            ProxyIn::Required => Mode::Required,
            _ => Mode::Optional,
        };
        let proxies = ProxyProtocolLayer::new(options.trust.iter().copied()).mode(mode);
        stack = around(proxies, stack);
    }
    if let Some(rate) = options.accept_rate {
        // A second's worth may come at once.
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
                "Connections whose upstream was not reached"
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

    // Beside the upkeep of histograms it saves a system call a connection: Tokio wakes itself for a timer that
    // is earlier than all others, and no time limit is earlier than this.
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
                tracing::error!(%error, "certificates not reloaded, the old ones stay");
            }
        }
    })?;
    tokio::select! {
        () = signal => {}
        never = upkeep => match never {},
        never = reload => match never {},
    }
    let again = common::signal()?;
    tokio::select! {
        _ = server.drain(options.drain) => return Ok(()),
        () = again => {}
    }
    server.abort();
    let _ = server.wait().await;
    Ok(())
}

/// Measures what no event tells of: the bytes of connections that are open, and when certificates expire.
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
        // As it is to be read, and in the form of those that clap finds.
        Err(error) => {
            eprintln!("error: {error}");
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
    // A file that is still being read, on a disk that does not answer, is not waited for.
    runtime.shutdown_background();
    ended
}
