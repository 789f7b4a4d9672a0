//! `--check`: everything that can be known without listening.

use crate::{
    admin_page::AdminPage,
    certificates::Certificates,
    config::Config,
    limits::Limits,
    listener::Listener,
    stack::{Parts, Stack},
    values::{Target, unix_path},
};
use reagent::{BoxError, ErrorChain};
use reagent_layers::access::Bans;
use std::{fmt::Write, net::SocketAddr, path::Path};

/// Checks the configuration, and describes what the gateway would do.
pub async fn check(config: &Config) -> Result<String, BoxError> {
    let certificates = Certificates::load(config, &Certificates::default())?;
    let mut report = String::new();
    for listener in &config.listeners {
        for address in &listener.listen {
            resolve(address).await?;
            writeln!(report, "listening on {address}")?;
        }
        if let Some(max) = listener.max_connections {
            writeln!(report, "  max-connections: {max}")?;
        }
        let stack = describe(config, listener, &certificates)?;
        write!(report, "{stack}")?;
        let routes = listener.route.iter().map(|route| &route.to);
        for to in listener.to.iter().chain(routes) {
            if let Target::Name(name) = to {
                lookup(name).await?;
            }
        }
    }
    for (label, address) in config.pages() {
        resolve(address).await?;
        writeln!(report, "{label} on {address}")?;
    }
    AdminPage::check(&config.global).await?;
    if let Some(path) = &config.global.handover {
        in_folder(path)?;
    }
    if let Some(max) = config.global.max_connections {
        writeln!(report, "max-connections: {max}")?;
    }
    Ok(report)
}

fn describe(config: &Config, listener: &Listener, tls: &Certificates) -> Result<Stack, BoxError> {
    Parts {
        listener,
        limits: &Limits::new(listener, &Bans::new()),
        certificates: tls,
        has_bans: config.global.admin.is_some(),
    }
    .stack()
}

/// Checks an address to listen on, and returns what it resolves to if it is one of TCP.
pub async fn resolve(address: &str) -> Result<Vec<SocketAddr>, BoxError> {
    if let Some(path) = unix_path(address) {
        return in_folder(path).map(|()| Vec::new());
    }
    if address.starts_with("unix:@") || address.starts_with("systemd:") {
        return Ok(Vec::new());
    }
    let host_port = address.strip_prefix("tcp://").unwrap_or(address);
    match host_port.rsplit_once(':') {
        Some(("" | "*", port)) => lookup(&format!("0.0.0.0:{port}")).await,
        _ => lookup(host_port).await,
    }
}

/// Checks that the folder of a Unix socket exists.
fn in_folder(path: &Path) -> Result<(), BoxError> {
    match path.parent().is_some_and(Path::is_dir) {
        true => Ok(()),
        false => Err(format!("the folder of {} does not exist", path.display()).into()),
    }
}

/// Resolves `HOST:PORT`.
async fn lookup(address: &str) -> Result<Vec<SocketAddr>, BoxError> {
    let found = tokio::net::lookup_host(address).await;
    let found: Vec<_> = found
        .map_err(|error| format!("invalid address {address:?}: {}", ErrorChain(&error)))?
        .collect();
    match found.is_empty() {
        true => Err(format!("{address} does not resolve to any address").into()),
        false => Ok(found),
    }
}
