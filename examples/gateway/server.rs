//! The server of the listeners.

use crate::{
    abuse::Abuse, certificates::CurrentCertificates, cluster::Instance, common, config::Config,
    pages::Pages, stack::BoxStack, succession::Succession, systemd::MainProcess,
};
use reagent::{Bind, ConnectionService, Handover, Server};
use reagent_layers::{
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

/// The parts that make up the server of the listeners.
pub struct Parts<'a> {
    pub config: &'a Config,
    pub certificates: &'a CurrentCertificates,
    pub abuse: &'a Abuse,
    pub instance: Option<&'a Instance>,
    pub pages: &'a Pages,
    pub succession: &'a Succession,
    pub pressure: Option<&'a Pressure>,
}

impl Parts<'_> {
    /// Configures the server.
    pub fn server(
        &self,
        binds: Vec<Bind>,
    ) -> Server<impl Layer<BoxStack, Service: ConnectionService> + Clone + Send + use<>> {
        let Parts {
            config,
            abuse,
            pages,
            ..
        } = self;
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
            server = server
                .acceptors(0)
                .observe(MainProcess)
                .observe(self.succession.clone());
            let handover = Handover::new(path)
                .shutdown(config.global.shutdown.shutdown())
                .carry(self.succession.clone())
                .carry(self.certificates.clone())
                .carry(abuse.bans.clone());
            server = server.handover(handover);
        }
        if let Some(instance) = self.instance {
            // It gives places back when the server begins to drain.
            server = server.observe(instance.cluster.clone());
        }
        server = server.observe(abuse.tarpit.clone());
        let metrics = pages
            .metrics
            .as_ref()
            .map(|metrics| metrics.observer.clone());
        if let Some(score) = abuse.score(config, metrics.clone()) {
            server = server.observe(score);
        }
        if pages.admin.is_some() || metrics.is_some() {
            server = server.observe(abuse.top.clone());
        }
        if let Some(metrics) = metrics {
            server = server.observe(metrics);
        }
        server.layer(option_layer(self.pressure.map(Pressure::layer)))
    }
}
