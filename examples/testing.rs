//! A handler tested without sockets and without waiting.
//!
//! The tests are at the end; run them with `cargo test --example testing`. The program itself is
//! run with `cargo run --example testing`. Send it numbers with `nc 127.0.0.1 7000`, one per line;
//! after a pause of five seconds it replies with their sum. `--listen ADDR` sets the address;
//! Ctrl-C stops the server.

#[path = "common/mod.rs"]
mod common;

use reagent::{BoxError, Connection, Server, TimedOut};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

/// Adds up lines until the client pauses, and times out if the client sends nothing at all.
async fn sum(conn: Connection) -> Result<(), BoxError> {
    let mut conn = BufReader::new(conn);
    let mut total = 0_i64;
    let mut line = String::new();
    let mut patience = Duration::from_secs(60);
    loop {
        line.clear();
        match timeout(patience, conn.read_line(&mut line)).await {
            Ok(read) => match read? {
                0 => break,
                _ => total += line.trim().parse::<i64>()?,
            },
            Err(_) if patience.as_secs() == 60 => return Err(TimedOut::new("first line").into()),
            Err(_) => break,
        }
        patience = Duration::from_secs(5);
    }
    conn.write_all(format!("{total}\n").as_bytes()).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listen = common::listen(
        "Adds up the numbers that a client sends; the example is its tests",
        "127.0.0.1:7000",
    );
    let signal = common::signal()?;
    let server = Server::bind(listen).start(reagent::handle(sum)).await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(5)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reagent::{Outcome, ServerHandle, testing::MemoryListener};
    use tokio::io::{AsyncReadExt, DuplexStream};

    async fn start() -> (ServerHandle, DuplexStream) {
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener)
            .start(reagent::handle(sum))
            .await
            .unwrap();
        (server, clients.connect().await.unwrap())
    }

    // With a paused clock, time advances at once whenever every task is waiting.
    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_the_sum() {
        let (_server, mut client) = start().await;
        client.write_all(b"1\n20\n300\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "321\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up() {
        let (server, mut client) = start().await;
        while server.connection(1).is_none() {
            tokio::task::yield_now().await;
        }
        let connection = server.connection(1).unwrap();
        assert!(
            matches!(connection.closed().await, Outcome::TimedOut(limit) if limit.kind() == "first line")
        );
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}
