//! Metrics of certificates, which no server event covers.

use super::{MetricsObserver, names};
use ::metrics::Label;
use std::time::{SystemTime, UNIX_EPOCH};

/// The label value for the default certificate, which is served when no other matches the client's
/// name.
const DEFAULT: &str = "default";

impl MetricsObserver {
    /// Sets the expiry metric of the certificate that is served for `name`, or of the default
    /// certificate for `None`.
    ///
    /// Call it before each scrape, for every certificate that is served:
    /// `TlsReloader::certificates` of the feature `tls` lists them. Each `name` creates a time
    /// series, so pass only names from the configuration, never names that clients sent.
    ///
    /// # Example
    ///
    /// ```
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    /// use reagent_layers::metrics::MetricsObserver;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let recorder = PrometheusBuilder::new().build_recorder();
    /// let prometheus = recorder.handle();
    /// let metrics = MetricsObserver::with_recorder(recorder);
    /// // With TLS, both values come from `TlsReloader::certificates`.
    /// let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    /// metrics.set_certificate_expiry(Some("example.org"), not_after);
    /// assert!(prometheus.render().contains(
    ///     r#"reagent_tls_certificate_expiry_timestamp_seconds{name="example.org"} 1900000000"#
    /// ));
    /// ```
    pub fn set_certificate_expiry(&self, name: Option<&str>, not_after: SystemTime) {
        let seconds = match not_after.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        };
        let name = Label::new("name", name.unwrap_or(DEFAULT).to_owned());
        self.source()
            .gauge(&names::CERTIFICATE_EXPIRY, vec![name])
            .set(seconds);
    }

    /// Counts an attempt to reload certificates, as a success or a failure. Call it from
    /// `TlsReloader::on_reload` of the feature `tls`.
    pub fn certificates_reloaded(&self, is_ok: bool) {
        let result = |value| {
            let label = Label::from_static_parts("result", value);
            self.source()
                .counter(&names::CERTIFICATE_RELOADS, vec![label])
        };
        // Registers both series at the first attempt.
        let [success, failure] = ["success", "failure"].map(result);
        match is_ok {
            true => success.increment(1),
            false => failure.increment(1),
        }
    }
}
