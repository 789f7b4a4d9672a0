//! Compares the cost of the pool with a bare Tokio accept loop, in one run.

use criterion::Criterion;
use reagent::{BoxError, Connection, IoStream, Server, Upgrade, UpgradeLayer};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    runtime::Runtime,
};
use tower::{limit::ConcurrencyLimitLayer, timeout::TimeoutLayer};

const SERVERS: [&str; 3] = ["tokio", "reagent", "reagent, 4 layers"];

/// All samples, in nanoseconds per operation.
static SAMPLES: Mutex<BTreeMap<(&str, &str), Vec<f64>>> = Mutex::new(BTreeMap::new());

async fn echo<Io: AsyncRead + AsyncWrite + Unpin>(mut io: Io) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match io.read(&mut buf).await? {
            0 => return Ok(()),
            n => io.write_all(&buf[..n]).await?,
        }
    }
}

struct Pass;

impl<Io: IoStream> Upgrade<Io> for Pass {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        Ok(conn)
    }
}

async fn start(server: &str) -> Result<SocketAddr, BoxError> {
    let pool = Server::bind("127.0.0.1:0");
    let handle = match server {
        "tokio" => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let addr = listener.local_addr()?;
            #[expect(clippy::disallowed_methods, reason = "the baseline")]
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(echo(stream));
                }
            });
            return Ok(addr);
        }
        "reagent" => pool.start(reagent::handle(echo::<Connection>)).await?,
        _ => {
            pool.layer(ConcurrencyLimitLayer::new(1_000_000))
                .layer(TimeoutLayer::new(Duration::from_secs(300)))
                .layer(UpgradeLayer::new(Pass))
                .layer(UpgradeLayer::new(Pass))
                .start(reagent::handle(echo::<Connection>))
                .await?
        }
    };
    Ok(handle.local_addr().socket_addr().ok_or("a TCP address")?)
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let client = TcpStream::connect(addr)?;
    client.set_nodelay(true)?;
    Ok(client)
}

fn round_trip(client: &mut TcpStream) -> io::Result<()> {
    let mut buf = [7; 64];
    client.write_all(&buf)?;
    client.read_exact(&mut buf)
}

/// A whole connection. It ends with a reset, so that ports never run out.
fn accept_and_echo(addr: SocketAddr) -> io::Result<()> {
    let mut client = connect(addr)?;
    round_trip(&mut client)?;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))
}

fn bench(
    criterion: &mut Criterion,
    name: &'static str,
    addrs: &[SocketAddr],
    mut operation: impl FnMut(SocketAddr),
) {
    let mut group = criterion.benchmark_group(name);
    for (server, addr) in SERVERS.into_iter().zip(addrs) {
        group.bench_function(server, |bencher| {
            bencher.iter_custom(|count| {
                let began = Instant::now();
                for _ in 0..count {
                    operation(*addr);
                }
                let took = began.elapsed();
                let mut samples = SAMPLES.lock().unwrap();
                let each = took.as_nanos() as f64 / count as f64;
                samples.entry((name, server)).or_default().push(each);
                took
            });
        });
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn main() -> Result<(), BoxError> {
    let runtime = Runtime::new()?;
    let addrs: Vec<_> = SERVERS
        .into_iter()
        .map(|server| runtime.block_on(start(server)))
        .collect::<Result<_, _>>()?;

    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion, "accept and echo", &addrs, |addr| {
        accept_and_echo(addr).unwrap();
    });
    let mut clients: BTreeMap<_, _> = addrs
        .iter()
        .map(|addr| Ok((*addr, connect(*addr)?)))
        .collect::<io::Result<_>>()?;
    bench(&mut criterion, "round trip", &addrs, |addr| {
        round_trip(clients.get_mut(&addr).unwrap()).unwrap();
    });
    criterion.final_summary();

    let mut samples = SAMPLES.lock().unwrap();
    let mut medians = BTreeMap::new();
    for ((name, server), samples) in samples.iter_mut() {
        medians.insert((*name, *server), median(samples));
    }
    println!("\nmedian times, and their ratios to the bare Tokio loop in this run:");
    for ((name, server), time) in &medians {
        println!(
            "{name:16} {server:18} {time:9.0} ns  × {:.3}",
            time / medians[&(*name, "tokio")]
        );
    }
    Ok(())
}
