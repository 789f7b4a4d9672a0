//! What the examples share.

#![allow(dead_code, reason = "each example uses some of it")]

use clap::{Arg, Command};
use reagent::{Keepalive, SocketOptions};
use std::{
    convert::Infallible,
    fmt,
    future::Future,
    io::{self, Write},
    time::Duration,
};
use tokio::signal::unix::{self, SignalKind};

/// Parses the command line of an example whose one option is `--listen ADDR`, and returns the address.
/// `--help` prints `about`, and anything unknown ends the program with an error.
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

/// Listens for Ctrl-C (SIGINT) and SIGTERM from now on, and returns a future that resolves at the first. SIGHUP, which
/// would end the program too, is ignored.
pub(crate) fn signal() -> io::Result<impl Future<Output = ()>> {
    drop(unix::signal(SignalKind::hangup())?);
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    let mut terminate = unix::signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
    })
}

/// Listens for SIGHUP from now on, and returns a future that calls `reload` at each.
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

/// Calls `act` again and again, such as the upkeep of histograms that nobody fetches.
pub(crate) async fn every(period: Duration, mut act: impl FnMut()) -> Infallible {
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        act();
    }
}

/// Prints a line; a standard output that is closed is no reason to end.
pub(crate) fn print(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// TCP keepalive: a client that is gone without a word is found within two minutes.
pub(crate) fn keepalive(options: &mut SocketOptions) {
    let mut keepalive = Keepalive::after(Duration::from_secs(60));
    keepalive.interval = Some(Duration::from_secs(15));
    keepalive.retries = Some(4);
    options.keepalive = Some(keepalive);
}
