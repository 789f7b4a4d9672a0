//! The server of the listeners.

use crate::{
    certificates::CurrentCertificates, cluster::Instance, common, config::Config, pages::Pages,
    succession::Succession, systemd::MainProcess,
};
use reagent::{Bind, Handover, Server};
use reagent_layers::{access::Bans, trace::TraceObserver};

/// Configures the server of the listeners.
pub fn server(
    binds: Vec<Bind>,
    config: &Config,
    certificates: &CurrentCertificates,
    bans: &Bans,
    instance: Option<&Instance>,
    pages: &Pages,
    succession: &Succession,
) -> Server {
    let mut server = Server::bind(binds).options(common::keepalive).observe(
        TraceObserver::new()
            .end_level(tracing::Level::DEBUG)
            .failure_level(tracing::Level::INFO),
    );
    if let Some(max) = config.global.server.max_connections {
        server = server.max_connections(max.as_usize());
    }
    if let Some(path) = &config.global.server.handover {
        // It starts paused, since it finds out only now whether there is a predecessor.
        server = server.acceptors(0).observe(MainProcess);
        let handover = Handover::new(path)
            .shutdown(config.global.shutdown.shutdown())
            .carry(succession.clone())
            .carry(certificates.clone())
            .carry(bans.clone());
        server = server.handover(handover);
    }
    if let Some(instance) = instance {
        // It gives places back when the server begins to drain.
        server = server.observe(instance.cluster.clone());
    }
    match &pages.metrics {
        Some(metrics) => server.observe(metrics.observer.clone()),
        None => server,
    }
}
