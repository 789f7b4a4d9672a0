//! The names, units and descriptions of all metrics.

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

        /// Registers the description of every metric with a recorder.
        pub(super) fn describe(recorder: &dyn Recorder) {
            for metric in [$($id),*] {
                metric.describe(recorder);
            }
        }
    };
}

metrics! {
    ACCEPTED = Counter, Count, "reagent_connections_accepted_total", "Accepted connections.";
    ACTIVE = Gauge, Count, "reagent_connections_active", "Open connections.";
    CLOSED = Counter, Count, "reagent_connections_closed_total",
        "Connections that have ended, by outcome.";
    REJECTED = Counter, Count, "reagent_connections_rejected_total",
        "Connections that a layer rejected, by reason.";
    TIMED_OUT = Counter, Count, "reagent_connections_timed_out_total",
        "Connections that exceeded a time limit, by kind.";
    DRY_RUN = Counter, Count, "reagent_dry_run_total",
        "Connections that a limit in a dry run would have acted on, by limit.";
    FAILED = Counter, Count, "reagent_connections_failed_total",
        "Connections that failed with an error, by reason.";
    PANICKED = Counter, Count, "reagent_connections_panicked_total",
        "Connections whose handler panicked.";
    RECEIVED = Counter, Bytes, "reagent_connection_received_bytes_total",
        "Bytes read from sockets.";
    SENT = Counter, Bytes, "reagent_connection_sent_bytes_total",
        "Bytes written to sockets.";
    DURATION = Histogram, Seconds, "reagent_connection_duration_seconds",
        "Time from the accept of a connection to its end.";
    UPGRADE_DURATION = Histogram, Seconds, "reagent_upgrade_duration_seconds",
        "Duration of successful upgrades such as TLS handshakes, by upgrade.";
    LIMIT_REACHED = Counter, Count, "reagent_limit_reached_total",
        "Times that an acceptor had a client and waited because of the connection limit.";
    PERMIT_WAIT = Histogram, Seconds, "reagent_permit_wait_seconds",
        "Time that clients waited because of the connection limit.";
    ACCEPT_ERRORS = Counter, Count, "reagent_accept_errors_total",
        "Errors while accepting, by class.";
    ACCEPTORS = Gauge, Count, "reagent_acceptors_active", "Acceptors that are accepting.";
    RESTARTS = Counter, Count, "reagent_acceptor_restarts_total",
        "Acceptors whose service failed, panicked or could not be made.";
    LOST = Counter, Count, "reagent_listeners_lost_total",
        "Listening sockets that stopped accepting because of an error.";
    REOPENED = Counter, Count, "reagent_listeners_reopened_total",
        "Lost listening sockets that were replaced.";
    EXHAUSTED = Gauge, Count, "reagent_exhausted",
        "1 while no client can be served for lack of descriptors or memory.";
    CERTIFICATE_EXPIRY = Gauge, Seconds, "reagent_tls_certificate_expiry_timestamp_seconds",
        "Expiry of a served certificate as a Unix timestamp, by name.";
    CERTIFICATE_RELOADS = Counter, Count, "reagent_tls_certificate_reloads_total",
        "Attempts to reload certificates, by result.";
    TURNED_AWAY = Counter, Count, "reagent_clients_turned_away_total",
        "Clients closed for lack of descriptors.";
    BANS = Counter, Count, "reagent_bans_total",
        "Bans of a score, by offence; those of a dry run were not carried out.";
    TARPIT_HELD = Gauge, Count, "reagent_tarpit_held", "Clients that are held in a tarpit.";
    TARPIT_OVERFLOWED = Counter, Count, "reagent_tarpit_overflowed_total",
        "Clients that were closed because the tarpit was full.";
    TARPIT_GAVE_WAY = Counter, Count, "reagent_tarpit_gave_way_total",
        "Clients that were closed or released because others waited for a place.";
    PRESSURE = Gauge, Count, "reagent_pressure_ratio", "Pressure of a source, from 0 to 1.";
    PRESSURE_CLOSED = Counter, Count, "reagent_pressure_closed_total",
        "Idle connections that were asked to finish under pressure.";
    PRESSURE_ABORTED = Counter, Count, "reagent_pressure_aborted_total",
        "Connections among these that did not finish and were aborted.";
    PRESSURE_REFUSED = Counter, Count, "reagent_pressure_refused_total",
        "Clients that were refused under pressure.";
    TOP_CLIENTS = Gauge, Count, "reagent_top_clients",
        "Counts of the first ten clients, by connections, bytes or refusals.";
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
