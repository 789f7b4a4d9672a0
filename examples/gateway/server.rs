//! The server of the listeners.

use crate::{
    certificates::CurrentCertificates, common, config::Config, pages::Pages, stack::BoxStack,
    succession::Succession, systemd::MainProcess,
};
use reagent::{Bind, ConnectionService, Handover, Server};
use reagent_layers::{
    access::Bans,
    pressure::{Actions, Pressure},
    trace::TraceObserver,
};
use tower::{Layer, util::option_layer};

/// The descriptors to keep free, for the pages and for files that are read again.
const FREE_DESCRIPTORS: u32 = 32;

/// Returns the pressure of the gateway, if the configuration wants it.
pub fn pressure(config: &Config) -> Option<Pressure> {
    // One descriptor for the client, and one for its upstream.
    let actions = Actions::default().keep_descriptors(FREE_DESCRIPTORS, 2);
    let pressure = Pressure::builder().standard_sources().actions(actions);
    config.global.server.pressure.then(|| pressure.build())
}

/// Configures the server of the listeners.
pub fn server(
    binds: Vec<Bind>,
    config: &Config,
    certificates: &CurrentCertificates,
    bans: &Bans,
    pages: &Pages,
    succession: &Succession,
    pressure: Option<&Pressure>,
) -> Server<impl Layer<BoxStack, Service: ConnectionService> + Clone + Send + use<>> {
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
    if let Some(metrics) = &pages.metrics {
        server = server.observe(metrics.observer.clone());
    }
    server.layer(option_layer(pressure.map(Pressure::layer)))
}
