//! Three accept loops of real projects, before and after they were moved onto reagent.
//!
//! Run one with `cargo run --example migrations -- postgres before`, and the other half with
//! `after`; the servers are `mqtt`, `postgres` and `minecraft`. `README.md` shows each loop, its
//! fault, and what changed. `--help` lists the options.
//!
//! The folder of a server contains its two halves, `before.rs` and `after.rs`, and the code that
//! serves the clients of both.

#![expect(unreachable_pub, reason = "a program has no outside")]

#[path = "../common/mod.rs"]
mod common;

mod minecraft;
mod mqtt;
mod postgres;

use clap::{Parser, ValueEnum};
use reagent::BoxError;
use reagent_layers::Network;
use std::{
    env,
    io::{self, IsTerminal},
    path::PathBuf,
};

/// Servers with the accept loops of real projects, and the same servers on reagent
#[derive(Parser)]
struct Options {
    /// Server to run
    #[arg(value_enum)]
    server: Protocol,
    /// Half to run: the loop of the project, or reagent
    #[arg(value_enum)]
    half: Half,
    /// Address to listen on: HOST:PORT
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    listen: String,
    /// Certificate chain of the MQTT broker, in PEM
    #[arg(long, value_name = "FILE", required_if_eq("server", "mqtt"))]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", required_if_eq("server", "mqtt"))]
    tls_key: Option<PathBuf>,
    /// Maximum number of clients of the pooler, for `after`; further ones wait in the queue
    #[arg(long, value_name = "N", default_value = "10000")]
    max_clients: usize,
    /// Networks of the proxies in front of the Minecraft server, for `after`
    #[arg(long, value_name = "CIDR", default_value = "127.0.0.1")]
    trust: Vec<Network>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Mqtt,
    Postgres,
    Minecraft,
}

#[derive(Clone, Copy, ValueEnum)]
enum Half {
    Before,
    After,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let options = Options::parse();
    let level = env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    let listen = options.listen;
    match (options.server, options.half) {
        (Protocol::Mqtt, half) => {
            let cert = options.tls_cert.expect("clap requires it");
            let key = options.tls_key.expect("clap requires it");
            match half {
                Half::Before => mqtt::before::run(&listen, &cert, &key).await,
                Half::After => mqtt::after::run(listen, &cert, &key).await,
            }
        }
        (Protocol::Postgres, Half::Before) => postgres::before::run(&listen).await,
        (Protocol::Postgres, Half::After) => {
            postgres::after::run(listen, options.max_clients).await
        }
        (Protocol::Minecraft, Half::Before) => minecraft::before::run(&listen).await,
        (Protocol::Minecraft, Half::After) => minecraft::after::run(listen, options.trust).await,
    }
}
