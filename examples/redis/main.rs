//! A Redis-compatible server for `redis-cli`, `redis-benchmark` and client libraries: strings,
//! expiry, databases, transactions, pub/sub, AUTH, RESP2 and RESP3. It is a service of requests
//! behind a `FramedMakeLayer`.
//!
//! Run it with `cargo run --release --example redis`, talk to it with `redis-cli -p 6380`, measure
//! it with `redis-benchmark -p 6380 -t ping,set,get,incr -P 16`, and stop it with Ctrl-C. `--help`
//! lists the options.
//!
//! `resp.rs` is the codec, `commands.rs` the service, `store.rs` the keys, `topics.rs` the
//! subscriptions, `transaction.rs` queued commands and watched keys, and `info.rs` the `INFO`
//! command.

#![expect(unreachable_pub, reason = "a program has no outside")]

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod glob;
mod info;
mod resp;
mod store;
mod topics;
mod transaction;

use clap::Parser;
use commands::{Commands, DATABASES, Server as Shared};
use reagent::{BoxError, ErrorChain, Server};
use reagent_layers::{
    framed::{Client, FrameError, FramedMakeLayer, OnError},
    tls::TlsLayer,
};
use resp::{Codec, Facts, MAX_BULK, Reply};
use std::{
    convert::Infallible,
    future::ready,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::{
    runtime,
    time::{MissedTickBehavior, interval},
};
use topics::Listener;
use tower::{service_fn, util::option_layer};

/// A Redis-compatible server
#[derive(Parser)]
struct Options {
    /// Address to listen on: HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6380")]
    listen: String,
    /// Certificate chain for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Password that clients must give with AUTH
    #[arg(long, value_name = "PASSWORD")]
    requirepass: Option<String>,
    /// Number of worker threads
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
}

fn main() -> Result<(), BoxError> {
    let options = Options::parse();
    let threads = options.threads.get();
    let mut builder = match threads {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()?.block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), BoxError> {
    let password = options.requirepass.filter(|password| !password.is_empty());
    let shared = Arc::new(Shared::new(password));
    let files = options.tls_cert.zip(options.tls_key);
    let tls = files.map(|(cert, key)| TlsLayer::from_pem_files(cert, key));
    let tls = tls.transpose()?;
    let reloader = tls.as_ref().map(TlsLayer::reloader);
    let framed = FramedMakeLayer::new()
        // The codec has its own limits, with the error messages of Redis.
        .max_frame(2 * MAX_BULK)
        // A single command with many channels may push one confirmation for each.
        .pushes(4096)
        .close_after(|reply| matches!(reply, Reply::Bye | Reply::HangUp))
        .on_error(|error| match error {
            FrameError::Decode(error) => protocol_error(error),
            error => protocol_error(error),
        });
    let all = shared.clone();
    let make = service_fn(move |client: Client<Reply>| {
        let facts = Arc::new(Facts {
            is_known: AtomicBool::new(all.password.is_none()),
            is_resp3: AtomicBool::new(false),
        });
        let me = Listener {
            handle: client.handle().clone(),
            pusher: client.pusher(),
        };
        let commands = Commands::new(all.clone(), facts.clone(), me);
        ready(Ok::<_, Infallible>((Codec::new(facts), commands)))
    });
    let stop = common::signal()?;
    let server = Server::bind(options.listen)
        .max_connections(10_000)
        .options(common::keepalive)
        .layer(option_layer(tls))
        .layer(framed)
        .start(make)
        .await?;
    let reload = common::on_reload(async || match &reloader {
        Some(tls) => match tls.reload().await {
            Ok(()) => common::print("certificate reloaded"),
            Err(error) => common::print(format_args!(
                "certificate not reloaded: {}",
                ErrorChain(&*error)
            )),
        },
        None => common::print("nothing to reload"),
    })?;
    tokio::pin!(stop, reload);
    common::print(format_args!("listening on {}", server.local_addr()));

    let mut tick = interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut stop => break,
            never = &mut reload => match never {},
            _ = tick.tick() => {
                // Done in steps, so that clients can use the keys in between.
                for database in 0..DATABASES {
                    while shared.store(database).sweep(200) {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }
    let report = common::drain_on(&server, ready(()), Duration::from_secs(10)).await?;
    common::print(format_args!(
        "{} connections finished, {} aborted",
        report.finished, report.aborted
    ));
    Ok(())
}

fn protocol_error(error: impl std::fmt::Display) -> OnError<Reply> {
    OnError::AnswerAndClose(Reply::error(format!("ERR Protocol error: {error}")))
}
