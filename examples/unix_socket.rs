//! A server on a Unix socket that identifies its clients.
//!
//! Run it with `cargo run --example unix_socket`, and connect with `nc -U /tmp/reagent.sock`.
//! `--listen unix:/path` sets the address; Ctrl-C stops the server and removes the file.

#[path = "common/mod.rs"]
mod common;

use reagent::{BoxError, Connection, Server};
use std::{io, time::Duration};
use tokio::io::AsyncWriteExt;

async fn who_are_you(mut conn: Connection) -> io::Result<()> {
    // Guaranteed by the kernel (`SO_PEERCRED`, see `unix(7)`).
    let who = conn.peer_cred()?;
    let answer = match who.pid() {
        Some(pid) => format!("you are user {} in process {pid}\n", who.uid()),
        None => format!("you are user {}\n", who.uid()),
    };
    conn.write_all(answer.as_bytes()).await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listen = common::listen(
        "A server on a Unix socket that identifies its clients",
        "unix:/tmp/reagent.sock",
    );
    let signal = common::signal()?;
    let server = Server::bind(listen)
        .options(|options| options.unix_mode = Some(0o600))
        .start(reagent::handle(who_are_you))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(5)).await?;
    Ok(())
}
