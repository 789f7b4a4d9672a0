//! What there is to measure.

use ::metrics::{Recorder, Unit};

pub(super) struct Metric {
    pub(super) name: &'static str,
    kind: Kind,
    unit: Unit,
    description: &'static str,
}

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

macro_rules! metrics {
    ($($id:ident = $kind:ident, $unit:ident, $name:literal, $description:literal;)*) => {
        $(pub(super) const $id: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            unit: Unit::$unit,
            description: $description,
        };)*

        /// Tells a recorder of all of them.
        pub(super) fn describe(recorder: &dyn Recorder) {
            for metric in [$($id),*] {
                metric.describe(recorder);
            }
        }
    };
}

metrics! {
    ACCEPTED = Counter, Count, "reagent_connections_accepted_total", "Connections accepted.";
    ACTIVE = Gauge, Count, "reagent_connections_active", "Connections open now.";
    CLOSED = Counter, Count, "reagent_connections_closed_total",
        "Connections that are over, by outcome.";
    REJECTED = Counter, Count, "reagent_connections_rejected_total",
        "Connections a layer did not admit, by reason.";
    TIMED_OUT = Counter, Count, "reagent_connections_timed_out_total",
        "Connections a time limit ended, by kind.";
    FAILED = Counter, Count, "reagent_connections_failed_total",
        "Connections that ended with an error, by reason.";
    PANICKED = Counter, Count, "reagent_connections_panicked_total",
        "Connections whose handler panicked.";
    RECEIVED = Counter, Bytes, "reagent_connection_received_bytes_total",
        "Bytes read from sockets.";
    SENT = Counter, Bytes, "reagent_connection_sent_bytes_total",
        "Bytes written to sockets.";
    DURATION = Histogram, Seconds, "reagent_connection_duration_seconds",
        "How long connections lasted.";
    UPGRADE_DURATION = Histogram, Seconds, "reagent_upgrade_duration_seconds",
        "How long upgrades such as TLS handshakes took, by upgrade.";
    LIMIT_REACHED = Counter, Count, "reagent_limit_reached_total",
        "Waits of an acceptor at the limit of connections.";
    PERMIT_WAIT = Histogram, Seconds, "reagent_permit_wait_seconds",
        "How long clients waited at the limit of connections.";
    ACCEPT_ERRORS = Counter, Count, "reagent_accept_errors_total",
        "Errors of accepting, by class.";
    ACCEPTORS = Gauge, Count, "reagent_acceptors_active", "Acceptors that accept.";
    RESTARTS = Counter, Count, "reagent_acceptor_restarts_total",
        "Acceptors whose service failed, panicked or could not be made.";
    LOST = Counter, Count, "reagent_listeners_lost_total",
        "Listening sockets that accept no more.";
    REOPENED = Counter, Count, "reagent_listeners_reopened_total",
        "Listening sockets that were replaced.";
    EXHAUSTED = Gauge, Count, "reagent_exhausted",
        "Whether no client can be served for want of descriptors or memory.";
    CERTIFICATE_EXPIRY = Gauge, Seconds, "reagent_tls_certificate_expiry_timestamp_seconds",
        "When a certificate that is served expires, by the name it is served for.";
    CERTIFICATE_RELOADS = Counter, Count, "reagent_tls_certificate_reloads_total",
        "Attempts to load certificates again, by result.";
    TURNED_AWAY = Counter, Count, "reagent_clients_turned_away_total",
        "Clients closed for want of descriptors.";
}

impl Metric {
    fn describe(&self, recorder: &dyn Recorder) {
        let (name, unit) = (self.name.into(), Some(self.unit));
        let description = self.description.into();
        match self.kind {
            Kind::Counter => recorder.describe_counter(name, unit, description),
            Kind::Gauge => recorder.describe_gauge(name, unit, description),
            Kind::Histogram => recorder.describe_histogram(name, unit, description),
        }
    }
}
