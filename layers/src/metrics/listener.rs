//! The metrics of one listener.

use super::{
    family::{Family, OTHER},
    names,
    source::Source,
};
use ::metrics::{Counter, Gauge, Histogram, Label};
use reagent::{Addr, ErrorClass, Outcome, OutcomeKind, event};

/// The label by which a layer names the class of an error that it returns.
const ERROR_TYPE: &str = "error.type";

pub(super) struct Listener {
    pub(super) accepted: Counter,
    pub(super) active: Gauge,
    closed: Family<Counter>,
    rejected: Family<Counter>,
    timed_out: Family<Counter>,
    failed: Family<Counter>,
    spared: Family<Counter>,
    panicked: Counter,
    received: Counter,
    sent: Counter,
    duration: Histogram,
    upgrades: Family<Histogram>,
    pub(super) limit_reached: Counter,
    pub(super) permit_wait: Histogram,
    pub(super) accept_errors: Family<Counter>,
    pub(super) acceptors: Gauge,
    pub(super) restarts: Counter,
    pub(super) lost: Counter,
    pub(super) reopened: Counter,
}

impl Listener {
    pub(super) fn new(source: &Source, addr: &Addr) -> Self {
        let listener = Label::new("listener", addr.to_string());
        let labels = || vec![listener.clone()];
        let family = |metric, label, known: &[_]| {
            Family::new(source, Source::counter, metric, &listener, label, known)
        };
        // Every outcome and class exists from the start, at zero.
        let outcomes = OutcomeKind::ALL.map(OutcomeKind::as_str);
        let classes = [
            ErrorClass::Connection,
            ErrorClass::Exhaustion,
            ErrorClass::Fatal,
        ];
        Listener {
            accepted: source.counter(&names::ACCEPTED, labels()),
            active: source.gauge(&names::ACTIVE, labels()),
            closed: family(names::CLOSED, "outcome", &outcomes),
            rejected: family(names::REJECTED, "reason", &[]),
            timed_out: family(names::TIMED_OUT, "kind", &[]),
            failed: family(names::FAILED, "reason", &[]),
            spared: family(names::DRY_RUN, "limit", &[]),
            panicked: source.counter(&names::PANICKED, labels()),
            received: source.counter(&names::RECEIVED, labels()),
            sent: source.counter(&names::SENT, labels()),
            duration: source.histogram(&names::DURATION, labels()),
            upgrades: Family::new(
                source,
                Source::histogram,
                names::UPGRADE_DURATION,
                &listener,
                "upgrade",
                &[],
            ),
            limit_reached: source.counter(&names::LIMIT_REACHED, labels()),
            permit_wait: source.histogram(&names::PERMIT_WAIT, labels()),
            accept_errors: family(
                names::ACCEPT_ERRORS,
                "class",
                &classes.map(|class| class.as_str()),
            ),
            acceptors: source.gauge(&names::ACCEPTORS, labels()),
            restarts: source.counter(&names::RESTARTS, labels()),
            lost: source.counter(&names::LOST, labels()),
            reopened: source.counter(&names::REOPENED, labels()),
        }
    }

    pub(super) fn connection_spared(&self, event: &event::ConnectionSpared<'_>) {
        let event::ConnectionSpared { layer, reason, .. } = event;
        self.spared.increment(&format!("{layer}: {reason}"));
    }

    pub(super) fn connection_upgraded(&self, event: &event::ConnectionUpgraded<'_>) {
        self.upgrades
            .with(event.upgrade, |histogram| histogram.record(event.took));
    }

    /// Counts bytes received and sent.
    pub(super) fn carried(&self, [received, sent]: [u64; 2]) {
        self.received.increment(received);
        self.sent.increment(sent);
    }

    pub(super) fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        self.active.decrement(1.0);
        self.closed.increment(event.outcome.as_str());
        match event.outcome {
            Outcome::Rejected(rejected) => self.rejected.increment(rejected.reason()),
            Outcome::TimedOut(timed_out) => self.timed_out.increment(timed_out.kind()),
            Outcome::Failed(_) => {
                let reason = event.connection.label(ERROR_TYPE);
                self.failed.increment(reason.as_deref().unwrap_or(OTHER));
            }
            Outcome::Panicked(_) => self.panicked.increment(1),
            _ => {}
        }
        self.duration
            .record(event.connection.accepted_at().elapsed());
    }
}
