//! The certificates of a server, which no event tells of.

use super::{MetricsObserver, names};
use ::metrics::Label;
use std::time::{SystemTime, UNIX_EPOCH};

/// The label of a certificate that is served where no other is for the client's name.
const DEFAULT: &str = "default";

impl MetricsObserver {
    /// Sets when the certificate that is served for `name`, or by default, expires.
    ///
    /// Call it before each scrape with what the layer serves, such as the feature `tls` has in
    /// `TlsReloader::certificates`. The names have to be those of the configuration, and not of clients: each costs a
    /// time series.
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

    /// Counts an attempt to load certificates again, for `TlsReloader::on_reload` of the feature `tls`.
    pub fn certificates_reloaded(&self, is_ok: bool) {
        let result = |value| {
            let label = Label::from_static_parts("result", value);
            self.source()
                .counter(&names::CERTIFICATE_RELOADS, vec![label])
        };
        // Both are there from the first attempt on.
        let [success, failure] = ["success", "failure"].map(result);
        match is_ok {
            true => success.increment(1),
            false => failure.increment(1),
        }
    }
}
