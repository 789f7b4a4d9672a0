//! The program of the README: an echo server with a connection limit, a timeout and a graceful
//! shutdown.
//!
//! Run it with `cargo run --release --example echo`, talk to it with `nc 127.0.0.1 7000`, and stop
//! it with Ctrl-C. `--listen ADDR` sets the address.

#[path = "common/mod.rs"]
mod common;

use reagent::{BoxError, Connection, Linger, Server};
use std::{io, time::Duration};
use tower::timeout::TimeoutLayer;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listen = common::listen("An echo server", "127.0.0.1:7000");
    let signal = common::signal()?;
    let server = Server::bind(listen)
        .max_connections(10_000)
        .layer(TimeoutLayer::new(Duration::from_secs(3600)))
        .start(reagent::handle(echo))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));
    common::drain_on(&server, signal, Duration::from_secs(10)).await?;
    Ok(())
}

async fn echo(conn: Connection) -> io::Result<()> {
    // Reads see end of input when the server drains, so that no client is waited for.
    let (mut reader, mut writer) = tokio::io::split(conn.eof_on_drain());
    tokio::io::copy(&mut reader, &mut writer).await?;
    // A client that is still sending gets time to read the last echo.
    let conn = reader.unsplit(writer);
    conn.close_lingering(Linger::default()).await;
    Ok(())
}
