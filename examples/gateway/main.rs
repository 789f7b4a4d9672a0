//! A TCP and TLS gateway made of layers, such as one would put in front of a database.
//!
//! Run it with
//! `cargo run --release --example gateway -- --listen 127.0.0.1:6000 --to 127.0.0.1:5432`, and
//! connect to the database through it. `--help` lists all options. `--config FILE` reads them from
//! a file, with any number of listeners; `--check` checks it. `kill -HUP PID` applies what has
//! changed in the file and in the certificates. Ctrl-C or SIGTERM drains the gateway; a second one
//! stops it at once. `RUST_LOG=debug` logs every connection.
//!
//! The options add these layers, in this order; without its option, a layer is not in the stack.
//!
//! 1. `--pressure`, `--max-connections`, `--accept-rate`: clients in excess wait in the kernel's
//!    queue, where they cost nothing
//! 2. `--proxy-in`: everything below uses the client address reported by the proxy in front
//! 3. `--allow`, `--deny`, `--per-client`, then `--cluster`: before the handshake, which is the expensive part
//! 4. `[[listener.route]]` in a file: everything below differs by what a TLS client asks for
//! 5. `--tls-…`, `--acme-…`, `--starttls`: everything below sees decrypted bytes
//! 6. `--first-byte-timeout`, `--idle-timeout`, `--max-age`, `--max-age-grace`
//! 7. `--bandwidth`
//! 8. the relay to `--to`, with a PROXY header if `--proxy-out` is set
//!
//! `--tarpit` and `--ban-score` hold and ban clients that are refused or misbehave.
//! `--dry-run` tries limits and lists without enforcing them. With `--apply-to existing`, changes of
//! lists and of the authorities of clients end open connections.
//!
//! `README.md` describes the configuration file, reloads, hand-overs and the use with systemd.
//!
//! | files | contents |
//! |---|---|
//! | `options/`, `values/` | the options, which are also the keys of a file |
//! | `file.rs`, `explain.rs`, `config.rs`, `validate.rs`, `check.rs`, `overlap.rs` | reading and checking a configuration |
//! | `stack.rs`, `limits.rs`, `abuse.rs`, `certificates.rs`, `acme.rs`, `upstream.rs`, `pools.rs`, `pool.rs`, `pool_spec.rs`, `header.rs` | the stack |
//! | `pages.rs`, `page_server.rs`, `metrics_page.rs`, `admin_page.rs`, `page_clients.rs`, `readiness.rs` | the pages |
//! | `addresses.rs`, `services.rs`, `serving.rs` | the addresses, and the stack behind each of them |
//! | `gateway.rs`, `server.rs`, `reload.rs`, `succession.rs`, `systemd.rs` | the running gateway |

#![expect(unreachable_pub, reason = "a program has no outside")]

#[path = "../common/mod.rs"]
mod common;

mod abuse;
mod acme;
mod addresses;
mod admin_page;
mod certificates;
mod check;
mod client_reset;
mod cluster;
mod config;
mod explain;
mod file;
mod gateway;
mod header;
mod limits;
mod metrics_page;
mod options;
mod overlap;
mod page_clients;
mod page_server;
mod pages;
mod pool;
mod pool_spec;
mod pools;
mod readiness;
mod reload;
mod server;
mod services;
mod serving;
mod stack;
mod succession;
mod systemd;
mod upstream;
mod upstream_metrics;
mod validate;
mod values;

use config::Config;
use options::CommandLine;
use reagent::{BoxError, ErrorChain};
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};
use tokio::runtime::{self, Runtime};
use values::Count;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Printed with `Display`, in the same form as clap's errors.
        Err(error) => {
            complain(format_args!("error: {}", ErrorChain(&*error)));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), BoxError> {
    let line = CommandLine::read()?;
    let config = Config::read(&line)?;
    let warning = config.global.shutdown.warning();
    if line.dump {
        if config.global.pages.admin_token.is_some() {
            complain("warning: the dump contains the token of the admin page");
        }
        if config.global.cluster.has_password() {
            complain("warning: the dump contains the password of the store");
        }
        return print(config.dump()?.trim_end());
    }
    if let Some(warning) = warning {
        complain(format_args!("warning: {warning}"));
    }
    let runtime = runtime(config.global.server.threads)?;
    if line.check {
        let report = runtime.block_on(check::check(&config))?;
        return print(report.trim_end());
    }
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // A standard error that cannot be written to is no reason to panic.
        .log_internal_errors(false)
        .init();
    let ended = runtime.block_on(gateway::run(line, config));
    // Does not wait for a file read that hangs on an unresponsive disk.
    runtime.shutdown_background();
    ended
}

/// Prints what the program was started for. A reader that has left is no error.
fn print(text: &str) -> Result<(), BoxError> {
    let mut stdout = io::stdout();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}").into())
        }
        _ => Ok(()),
    }
}

/// Prints a line to standard error, which may be closed.
fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn runtime(threads: Option<Count>) -> io::Result<Runtime> {
    let threads = threads.map(Count::as_usize);
    let mut runtime = match threads {
        Some(1) => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        runtime.worker_threads(threads);
    }
    runtime.enable_all().build()
}
