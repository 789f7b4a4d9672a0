//! The page of Prometheus metrics.

use crate::{
    certificates::Certificates, pages::stack, readiness::Readiness, stack::BoxStack, upstream,
    upstream_metrics::UpstreamMetrics,
};
use axum::{Router, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reagent::{BoxError, ServerHandle};
use reagent_layers::{health::Health, metrics::MetricsObserver, pressure::PressureStats};

/// The metrics of the gateway.
pub struct MetricsPage {
    page: PrometheusHandle,
    pub observer: MetricsObserver,
    pub health: Health,
    pub upstreams: UpstreamMetrics,
}

impl MetricsPage {
    /// Starts to record metrics.
    pub fn new() -> Result<Self, BoxError> {
        let recorder =
            PrometheusBuilder::new().set_buckets(&[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])?;
        let page = recorder.install_recorder()?;
        let errors = "Connections whose upstream could not be reached";
        metrics::describe_counter!(upstream::ERRORS, errors);
        metrics::counter!(upstream::ERRORS).absolute(0);
        Ok(MetricsPage {
            page,
            observer: MetricsObserver::new(),
            health: Health::new(),
            upstreams: UpstreamMetrics::default(),
        })
    }

    /// Returns the stack that serves the metrics at `/metrics`, and health checks at `/ready` and
    /// `/live`.
    pub fn stack(&self, readiness: &Readiness) -> BoxStack {
        let (metrics, upstreams) = (self.page.clone(), self.upstreams.clone());
        let metrics = get(move || async move {
            let mut page = metrics.render();
            upstreams.render(&mut page);
            page
        });
        let router = Router::new()
            .route("/metrics", metrics)
            .route_service("/ready", self.health.clone())
            .route_service("/live", self.health.clone());
        stack(router, readiness)
    }

    /// Updates the metrics that no event updates: the bytes of open connections, and the expiry of
    /// certificates.
    pub fn measure(&self, server: &ServerHandle, certificates: &Certificates) {
        self.observer.refresh(server);
        for certificate in certificates.reloaders().flat_map(|tls| tls.certificates()) {
            if let Some(not_after) = certificate.not_after {
                let name = certificate.name.as_deref();
                self.observer.set_certificate_expiry(name, not_after);
            }
        }
        self.page.run_upkeep();
    }

    /// Updates the metrics of the pressure.
    pub fn measure_pressure(&self, stats: &PressureStats) {
        let readings = stats.readings.iter();
        let metrics = &self.observer;
        metrics.set_pressure(readings.map(|reading| (reading.name, reading.value)));
        metrics.set_pressure_actions(stats.asked, stats.aborted, stats.refused);
    }
}
