//! The program of the README: an echo server with a limit, a time limit and an orderly end.
//!
//! Run it with `cargo run --release --example echo`, talk to it with `nc 127.0.0.1 7000`, and end it
//! with Ctrl-C. `--listen ADDR` listens elsewhere.

#[path = "common/mod.rs"]
mod common;

use reagent::{BoxError, Connection, Server};
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::timeout::TimeoutLayer;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listen = common::listen("Sends back what clients send", "127.0.0.1:7000");
    let server = Server::bind(listen)
        .max_connections(10_000)
        .layer(TimeoutLayer::new(Duration::from_secs(3600)))
        .start(reagent::handle(echo))
        .await?;
    let signal = common::signal()?;
    common::print(format_args!("listening on {}", server.local_addr()));
    let report = server.drain_on(signal, Duration::from_secs(10)).await;
    common::print(format_args!(
        "{} connections finished, {} were aborted",
        report.finished, report.aborted
    ));
    Ok(())
}

async fn echo(mut conn: Connection) -> io::Result<()> {
    let mut draining = conn.draining();
    let mut buf = [0; 4096];
    loop {
        let n = tokio::select! { n = conn.read(&mut buf) => n?, () = &mut draining => 0 };
        if n == 0 {
            return Ok(());
        }
        conn.write_all(&buf[..n]).await?;
    }
}
