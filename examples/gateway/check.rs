//! `--check`: everything that can be known without listening.

use crate::{
    abuse::Abuse,
    acme::Issuer,
    certificates::{Certificates, CurrentCertificates},
    cluster::Instance,
    config::Config,
    limits::Limits,
    options::Listener,
    overlap,
    pages::Pages,
    pools::Pools,
    stack::{Parts, Stack},
};
use reagent::BoxError;
use reagent_layers::cluster::ClusterPerClient;
use std::fmt::Write;

/// Checks the configuration, and describes what the gateway would do.
pub async fn check(config: &Config) -> Result<String, BoxError> {
    overlap::check(config).await?;
    Issuer::check(config)?;
    let abuse = Abuse::new(&config.global.abuse);
    let pages = Pages::new(config, &abuse, &CurrentCertificates::default())?;
    pages.check(config).await?;
    let certificates = Certificates::load(config, &Certificates::default(), None)?;
    let instance = Instance::new(&config.global.cluster)?;
    let cluster = instance.as_ref().map(|(instance, _)| &instance.per_client);
    let pools = Pools::new(config, &Pools::default())?;
    let mut report = String::new();
    for listener in &config.listeners {
        overlap::check_upstreams(listener).await?;
        for address in &listener.listen {
            writeln!(report, "listening on {address}")?;
        }
        let stack = describe(config, listener, &certificates, &abuse, cluster, &pools)?;
        write!(report, "{stack}")?;
    }
    for address in config.page_addresses() {
        writeln!(report, "{} on {}", address.what(), address.addr)?;
    }
    if let Some(max) = config.global.server.max_connections {
        writeln!(report, "max-connections: {max}")?;
    }
    if config.global.server.pressure {
        writeln!(report, "pressure: silent connections are closed")?;
    }
    for line in config.global.abuse.lines(config.tries_bans()) {
        writeln!(report, "{line}")?;
    }
    Ok(report)
}

fn describe(
    config: &Config,
    listener: &Listener,
    tls: &Certificates,
    abuse: &Abuse,
    cluster: Option<&ClusterPerClient>,
    pools: &Pools,
) -> Result<Stack, BoxError> {
    Parts {
        listener,
        limits: &Limits::new(listener, abuse, cluster),
        certificates: tls,
        pools,
        tarpit: &abuse.tarpit,
        has_bans: config.has_bans(),
    }
    .stack()
}
