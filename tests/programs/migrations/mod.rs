//! `examples/migrations`, with clients that stop the servers of `before` and not those of `after`.

mod minecraft;
mod mqtt;
mod postgres;

use crate::{
    program::{Example, binary},
    support::soon,
};
use std::{future::Future, io, process::Output, time::Duration};
use tokio::{net::TcpStream, process::Command, time::timeout};

/// The time after which a client counts as stalled.
const STALL: Duration = Duration::from_millis(500);
/// The number of silent clients. At 5 s each, they would stall a loop for longer than a test waits.
const SILENT: usize = 8;

/// Starts half of a server with the additional arguments `args`.
async fn start(server: &str, half: &str, args: &[&str]) -> Example {
    let mut command = Command::new(binary("migrations"));
    command.args([server, half, "--listen", "127.0.0.1:0"]);
    command.args(args).env("RUST_LOG", "off");
    Example::start_with("migrations", &mut command).await
}

/// Connects clients that send nothing.
async fn silent_clients(example: &Example) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(example.connect().await);
    }
    silent
}

/// Asserts that a client is not served while silent clients are connected, and that it is once they
/// have left.
async fn assert_stalled(silent: Vec<TcpStream>, client: impl Future<Output = io::Result<()>>) {
    tokio::pin!(client);
    let served = timeout(STALL, &mut client).await;
    assert!(served.is_err(), "served beside silent clients");
    drop(silent);
    soon(client).await.unwrap();
}

/// Runs a program. Prints a message and returns `None` if it is not installed.
async fn run(program: &str, args: &[&str]) -> Option<Output> {
    match soon(Command::new(program).args(args).output()).await {
        Ok(output) => Some(output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            crate::skipped::skipped(format!("{program} is not installed"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}
