//! The echo server whose cost is compared with other servers; see `benches/README.md`.
//!
//! It is configured by environment variables: `ADDR` is the listen address (default
//! 127.0.0.1:7000), `THREADS` the number of worker threads (1) and `ACCEPTORS` the number of
//! acceptors per address (1). `LAYERS=4` adds a stack of a limit, a timeout and two upgrades.
//! `PER_CORE=1` uses a single-threaded runtime and a socket per thread.

use reagent::{BoxError, Connection, IoStream, Server, Upgrade, UpgradeLayer};
use std::{env, io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{limit::ConcurrencyLimitLayer, timeout::TimeoutLayer};

/// An upgrade that does nothing, to measure the cost of any upgrade.
struct Pass;

impl<Io: IoStream> Upgrade<Io> for Pass {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        Ok(conn)
    }
}

async fn echo(mut conn: Connection) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match conn.read(&mut buf).await? {
            0 => return Ok(()),
            n => conn.write_all(&buf[..n]).await?,
        }
    }
}

pub(crate) async fn serve(addr: String, threads: usize) -> Result<(), BoxError> {
    let mut server = Server::bind(addr);
    if env::var("PER_CORE").is_ok_and(|value| value == "1") {
        server = server.per_core().acceptors(threads);
    }
    if let Ok(acceptors) = env::var("ACCEPTORS") {
        server = server.acceptors(acceptors.parse()?);
    }
    let handle = if env::var("LAYERS").is_ok_and(|value| value == "4") {
        server
            .layer(ConcurrencyLimitLayer::new(1_000_000))
            .layer(TimeoutLayer::new(Duration::from_secs(300)))
            .layer(UpgradeLayer::new(Pass))
            .layer(UpgradeLayer::new(Pass))
            .start(reagent::handle(echo))
            .await?
    } else {
        server.start(reagent::handle(echo)).await?
    };
    println!("{}", handle.local_addr());
    handle.await?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let addr = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:7000".to_owned());
    let threads = env::var("THREADS").map_or(Ok(1), |threads| threads.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(serve(addr, threads))
}
