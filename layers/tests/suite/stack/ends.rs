//! Ten thousand connections with every possible outcome, through all layers, leave nothing behind.

use super::{
    Parts,
    kinds::{all, bottom},
    memory,
    phases::{EACH, Run},
    script::{BANNED, Script, handler, timeouts, told},
};
use crate::{
    capture::{Capture, field},
    metrics::Page,
};
use reagent::{Limit, Observer, event, handle};
use reagent_layers::{
    Refusal,
    limit::{AcceptRate, AcceptRateLayer, InFlightLayer},
    trace::TraceObserver,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::mpsc::unbounded_channel, task::JoinSet};
use tracing::Level;

const PLACES: usize = 300;

/// The capacity for clients whose rate is remembered.
const REMEMBERED: usize = 1000;

#[derive(Clone, Debug, Default)]
struct Ends(Arc<Mutex<BTreeMap<String, usize>>>);

impl Observer for Ends {
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        *self
            .0
            .lock()
            .unwrap()
            .entry(told(event.outcome))
            .or_default() += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_ten_thousand_connections() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (page, metrics) = Page::new();
    let ends = Ends::default();
    let mut parts = Parts::new();
    parts.timeouts = timeouts();
    parts.bandwidth = parts.bandwidth.capacity(REMEMBERED);
    // Other timeouts are shorter.
    parts.sniff = parts.sniff.timeout(Duration::from_secs(100));
    parts.per_client_rate = parts.per_client_rate.capacity(REMEMBERED);
    parts.access.bans().ban(BANNED.into(), Duration::MAX);
    let (places, shed_in_flight) = (Limit::new(PLACES), Limit::new(usize::MAX));
    let shed_rate = AcceptRate::new(1e9, 1e9);

    let (giving, mut given) = unbounded_channel();
    let mut elsewhere = JoinSet::new();
    elsewhere.spawn(async move { while given.recv().await.is_some() {} });
    let (server, clients) = memory();
    let service = handle(move |conn| handler(conn, giving.clone()));
    let server = server
        .limit(places.clone())
        .acceptors(2)
        .observe(TraceObserver::new())
        .observe(metrics)
        .observe(ends.clone())
        .layer(AcceptRateLayer::new(shed_rate.clone()).shed(Refusal::Close))
        .layer(InFlightLayer::new(shed_in_flight.clone()).shed(Refusal::Reset))
        .start(parts.stack(&all(), bottom(service)))
        .await
        .unwrap();
    let mut run = Run {
        script: Script::new(parts.clone(), clients),
        server: server.clone(),
        shed_rate,
        shed_in_flight: shed_in_flight.clone(),
        expected: BTreeMap::new(),
        number: 0,
    };
    run.mixed().await;
    run.over_limits().await;
    run.aborted().await;
    run.stalled().await;
    run.handshakes_are_free().await;
    run.drained().await;

    // All outcomes are as expected, and as reported to observers.
    let expected = run.expected;
    assert_eq!(*ends.0.lock().unwrap(), expected);
    let total: usize = expected.values().sum();
    let stats = server.stats();
    assert!(total >= 10_000, "{total}");
    assert_eq!(
        (stats.accepted as usize, stats.open, stats.acceptors),
        (total, 0, 0)
    );
    let names = [
        "completed",
        "failed",
        "disconnected",
        "rejected",
        "timed out",
        "drained",
        "aborted",
        "panicked",
    ];
    for name in names {
        let count: usize = expected
            .iter()
            .filter(|(end, _)| end.starts_with(name))
            .map(|(_, count)| count)
            .sum();
        let label = name.replace(' ', "_");
        assert_eq!(
            page.value("reagent_connections_closed_total", ("outcome", &*label)),
            count as f64,
            "{name}"
        );
    }
    for (end, count) in &expected {
        let (metric, label, value) = match end.split_once(": ") {
            Some(("rejected", reason)) => ("rejected", "reason", reason),
            Some(("timed out", kind)) => ("timed_out", "kind", kind),
            _ => continue,
        };
        let name = format!("reagent_connections_{metric}_total");
        assert_eq!(page.value(&name, (label, value)), *count as f64, "{end}");
    }

    // Nothing is running, and no permit is taken.
    for gauge in ["connections_active", "acceptors_active", "exhausted"] {
        let gauge = format!("reagent_{gauge}");
        assert_eq!(page.value(&gauge, None), 0.0, "{gauge}");
    }
    assert!(server.connections().is_empty());
    let limits = [&places, &shed_in_flight, &parts.in_flight];
    assert_eq!(limits.map(Limit::taken), [0; 3]);
    assert_eq!(parts.per_client.clients(), 0);
    assert!(parts.per_client_rate.clients() <= REMEMBERED);
    assert!(parts.bandwidth.clients() <= REMEMBERED);
    assert_eq!(parts.access.bans().len(), 1);

    // Every span was closed with its outcome.
    let spans = capture.closed();
    let outside = [
        "timed out: proxy protocol",
        "rejected: proxy protocol",
        "rejected: health check",
        "failed: header",
        "rejected: accept rate",
        "rejected: in flight",
    ];
    let outside: usize = outside.iter().map(|end| expected[*end]).sum();
    assert_eq!(spans.len(), total - outside - EACH / 2);
    assert!(spans.iter().all(|span| field(span, "outcome").is_some()));
}
