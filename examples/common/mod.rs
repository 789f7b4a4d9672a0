//! Helpers shared by the examples.

#![allow(dead_code, reason = "each example uses some of it")]

use clap::{Arg, Command};
use reagent::{DrainReport, Keepalive, ServerHandle, SocketOptions};
use std::{
    convert::Infallible,
    fmt,
    future::Future,
    io::{self, Write},
    time::Duration,
};
use tokio::signal::unix::{self, SignalKind};

/// Parses the command line of an example whose only option is `--listen ADDR`, and returns the
/// address. `--help` prints `about`; an unknown argument ends the program with an error.
pub(crate) fn listen(about: &'static str, default: &'static str) -> String {
    let listen = Arg::new("listen")
        .long("listen")
        .value_name("ADDR")
        .default_value(default)
        .help("Address to listen on: HOST:PORT or unix:PATH");
    let command = Command::new(env!("CARGO_CRATE_NAME")).about(about);
    let mut args = command.arg(listen).get_matches();
    args.remove_one("listen").expect("it has a default")
}

/// Returns a future that resolves at the first Ctrl-C (SIGINT) or SIGTERM from now on. SIGHUP,
/// whose default action is to end the program, is ignored.
pub(crate) fn signal() -> io::Result<impl Future<Output = ()>> {
    drop(unix::signal(SignalKind::hangup())?);
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    let mut terminate = unix::signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
    })
}

/// Drains the server once `signal` resolves or all its listeners are lost. A second Ctrl-C or SIGTERM
/// aborts what is left.
pub(crate) async fn drain_on(
    server: &ServerHandle,
    signal: impl Future<Output = ()>,
    deadline: Duration,
) -> io::Result<DrainReport> {
    tokio::select! {
        () = signal => {}
        _ = server.wait() => {}
    }
    let again = self::signal()?;
    tokio::select! {
        report = server.drain(deadline) => Ok(report),
        () = again => {
            server.abort();
            Ok(server.drain(Duration::ZERO).await)
        }
    }
}

/// Returns a future that calls `reload` at every SIGHUP from now on.
pub(crate) fn on_reload(
    mut reload: impl AsyncFnMut(),
) -> io::Result<impl Future<Output = Infallible>> {
    let mut hangup = unix::signal(SignalKind::hangup())?;
    Ok(async move {
        loop {
            hangup.recv().await;
            reload().await;
        }
    })
}

/// Calls `act` once per period.
pub(crate) async fn every(period: Duration, mut act: impl FnMut()) -> Infallible {
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        act();
    }
}

/// Prints a line. A closed standard output is ignored.
pub(crate) fn print(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Enables TCP keepalive: clients that disappear without closing are detected within two minutes.
pub(crate) fn keepalive(options: &mut SocketOptions) {
    let mut keepalive = Keepalive::after(Duration::from_secs(60));
    keepalive.interval = Some(Duration::from_secs(15));
    keepalive.retries = Some(4);
    options.keepalive = Some(keepalive);
}
