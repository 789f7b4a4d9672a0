//! A server that is paused, resumed and drained by signals, and reports what happened.
//!
//! Run it with `cargo run --example graceful_shutdown`, connect with `nc 127.0.0.1 7000`, and then:
//!
//! - `kill -USR1 PID` pauses it: new clients wait in the kernel's queue.
//! - `kill -USR2 PID` resumes it: the waiting clients are served.
//! - `kill PID` or Ctrl-C drains it: every client receives a farewell, or is disconnected after 5
//!   seconds.
//!
//! `--listen ADDR` sets the address.

#[path = "common/mod.rs"]
mod common;

use reagent::{BoxError, Connection, Server};
use std::{future::ready, io, time::Duration};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};

/// Counts seconds until the server drains.
async fn clock(mut conn: Connection) -> io::Result<()> {
    let mut draining = conn.draining();
    for second in 0.. {
        conn.write_all(format!("{second}\n").as_bytes()).await?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = &mut draining => break,
        }
    }
    conn.write_all(b"goodbye\n").await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listen = common::listen(
        "Pauses, resumes and drains on SIGUSR1, SIGUSR2 and SIGTERM",
        "127.0.0.1:7000",
    );
    let stop = common::signal()?;
    let server = Server::bind(listen).start(reagent::handle(clock)).await?;
    let mut pause = signal(SignalKind::user_defined1())?;
    let mut resume = signal(SignalKind::user_defined2())?;
    tokio::pin!(stop);
    common::print(format_args!("listening on {}", server.local_addr()));

    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = pause.recv() => server.pause(),
            _ = resume.recv() => server.resume(),
        }
        common::print(format_args!(
            "{:?}, {} connections",
            server.stats().status,
            server.connection_count()
        ));
    }
    let report = common::drain_on(&server, ready(()), Duration::from_secs(5)).await?;
    common::print(format_args!(
        "drained in {:?}: {} finished, {} aborted",
        report.elapsed, report.finished, report.aborted
    ));
    Ok(())
}
