//! `MetricsObserver`: the values, the names, and the bounds of labels.

use crate::{
    endings::{WAYS, all_ended, as_told, end, tell},
    support::{outcome, until},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reagent::{
    Connection, Observer, Outcome, Rejected, Server, ServerHandle, handle,
    testing::{Clients, FlakyListener, MemoryListener, Script},
};
use reagent_layers::metrics::MetricsObserver;
use std::{collections::BTreeSet, io, panic::resume_unwind, time::Duration};
use tokio::{io::AsyncReadExt, time::sleep};

/// What Prometheus would get.
pub struct Page(PrometheusHandle);

impl Page {
    pub fn new() -> (Page, MetricsObserver) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = Page(recorder.handle());
        (page, MetricsObserver::with_recorder(recorder))
    }

    /// The value of a metric without labels, or with these besides the listener.
    pub fn value(&self, name: &str, label: impl Into<Option<(&'static str, &'static str)>>) -> f64 {
        let label = label
            .into()
            .map(|(key, value)| format!(r#"{key}="{value}""#));
        let page = self.0.render();
        let mut values = page.lines().filter_map(|line| {
            let (metric, value) = line.rsplit_once(' ')?;
            let (is, labels) = metric.split_once('{').unwrap_or((metric, ""));
            let is_it = is == name && label.as_ref().is_none_or(|label| labels.contains(label));
            is_it.then(|| value.parse().unwrap())
        });
        match (values.next(), values.next()) {
            (Some(value), None) => value,
            values => panic!("{name}: {values:?} in\n{page}"),
        }
    }
}

async fn start(observer: impl Observer) -> (ServerHandle, Clients, Script) {
    let (listener, clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let server = Server::new(listener)
        .observe(observer)
        .max_connections(1)
        .start(handle(as_told));
    (server.await.unwrap(), clients, script)
}

#[tokio::test]
async fn connections_are_counted_by_how_they_end_and_why() {
    let (page, observer) = Page::new();
    let (server, clients, _) = start(observer).await;
    for (times, (way, _)) in (1..).zip(WAYS) {
        for _ in 0..times {
            end(&clients, way).await;
        }
    }
    all_ended(&server).await;

    assert_eq!(page.value("reagent_connections_accepted_total", None), 28.0);
    assert_eq!(page.value("reagent_connections_active", None), 0.0);
    for (times, (_, outcome)) in (1..).zip(WAYS) {
        let closed = page.value("reagent_connections_closed_total", ("outcome", outcome));
        assert_eq!(closed, f64::from(times), "{outcome}");
    }
    for (name, label, count) in [
        ("rejected", Some(("reason", "as told")), 3.0),
        ("timed_out", Some(("kind", "as told")), 4.0),
        ("panicked", None, 7.0),
    ] {
        let name = format!("reagent_connections_{name}_total");
        assert_eq!(page.value(&name, label), count, "{name}");
    }
    for name in ["received", "sent"] {
        let name = format!("reagent_connection_{name}_bytes_total");
        assert_eq!(page.value(&name, None), 28.0, "{name}");
    }
    let durations = page.value("reagent_connection_duration_seconds_count", None);
    assert_eq!(durations, 28.0);
}

#[tokio::test(start_paused = true)]
async fn durations_and_waits_are_in_seconds() {
    let (page, observer) = Page::new();
    let (server, clients, _) = start(observer).await;
    let first = tell(&clients, b'w').await;
    assert_eq!(page.value("reagent_connections_active", None), 1.0);
    let second = clients.connect().await.unwrap();
    let reached = || page.value("reagent_limit_reached_total", None) == 1.0;
    until("the limit", reached).await;
    sleep(Duration::from_millis(2500)).await;
    let drain = async { server.connection(1).unwrap().drain() };
    let (first_outcome, ()) = tokio::join!(outcome(&server, 1), drain);
    assert!(matches!(first_outcome, Outcome::Drained));
    until("the second", || server.connection(2).is_some()).await;
    drop((first, second));
    all_ended(&server).await;

    let sum = |name: &str| page.value(&format!("reagent_{name}_seconds_sum"), None);
    assert_eq!(sum("connection_duration"), 2.5);
    assert_eq!(sum("permit_wait"), 2.5);
    assert_eq!(page.value("reagent_permit_wait_seconds_count", None), 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_befalls_the_server_is_counted() {
    let (page, observer) = Page::new();
    let (server, clients, script) = start(observer).await;
    assert_eq!(page.value("reagent_acceptors_active", None), 1.0);
    assert_eq!(page.value("reagent_exhausted", None), 0.0);

    let emfile = || io::Error::from_raw_os_error(libc::EMFILE);
    script.fail_accepts([io::ErrorKind::ConnectionAborted.into(), emfile(), emfile()]);
    let mut turned_away = clients.connect().await.unwrap();
    until("exhaustion", || {
        page.value("reagent_exhausted", None) == 1.0
    })
    .await;
    // The clock goes on when nothing else does.
    assert_eq!(turned_away.read(&mut [0]).await.unwrap(), 0);
    end(&clients, b'c').await;
    assert_eq!(page.value("reagent_exhausted", None), 0.0);
    assert_eq!(page.value("reagent_clients_turned_away_total", None), 1.0);

    script.fail_accepts([io::ErrorKind::InvalidInput.into()]);
    let reopened = || page.value("reagent_listeners_reopened_total", None) == 1.0;
    until("a new listener", reopened).await;
    assert_eq!(page.value("reagent_listeners_lost_total", None), 1.0);
    for (class, count) in [("connection", 1.0), ("exhaustion", 2.0), ("fatal", 1.0)] {
        let errors = page.value("reagent_accept_errors_total", ("class", class));
        assert_eq!(errors, count, "{class}");
    }
    server.drain(Duration::ZERO).await;
    assert_eq!(page.value("reagent_acceptors_active", None), 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_fails_is_counted() {
    let (page, observer) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let mut calls = 0;
    let server = Server::new(listener)
        .observe(observer)
        .start(handle(move |conn: Connection| {
            calls += 1;
            if calls == 1 {
                resume_unwind(Box::new("out of order"));
            }
            as_told(conn)
        }))
        .await
        .unwrap();
    drop(clients.connect().await.unwrap());
    let restarts = || page.value("reagent_acceptor_restarts_total", None) == 1.0;
    until("a new service", restarts).await;
    assert_eq!(page.value("reagent_connections_active", None), 0.0);
    drop(server);
}

#[tokio::test]
async fn a_label_has_so_many_values_and_no_more() {
    let (page, observer) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(observer)
        .start(handle(|conn: Connection| async move {
            // As nobody should: a reason of its own for each.
            let reason = match conn.id() {
                1 => "x".repeat(65),
                id => format!("reason {id}"),
            };
            Err::<(), _>(Rejected::new(reason))
        }))
        .await
        .unwrap();
    for _ in 0..100 {
        drop(clients.connect().await.unwrap());
    }
    until("the ends", || server.stats().rejected == 100).await;
    let page_text = page.0.render();
    let rejected = "reagent_connections_rejected_total{";
    let series = page_text.lines().filter(|line| line.starts_with(rejected));
    assert_eq!(series.count(), 33);
    let others = page.value("reagent_connections_rejected_total", ("reason", "other"));
    assert_eq!(others, 68.0);
    let known = page.value(
        "reagent_connections_rejected_total",
        ("reason", "reason 33"),
    );
    assert_eq!(known, 1.0);
}

/// Has something to say in every metric, and says how they are described: names and kinds.
async fn described(builder: PrometheusBuilder) -> BTreeSet<(String, String)> {
    let recorder = builder.build_recorder();
    let page = recorder.handle();
    let (server, clients, _) = start(MetricsObserver::with_recorder(recorder)).await;
    let first = tell(&clients, b'w').await;
    let second = clients.connect().await.unwrap();
    let at_limit = || page.render().contains("reagent_limit_reached_total{");
    until("the limit", at_limit).await;
    server.connection(1).unwrap().drain();
    drop((first, second));
    end(&clients, b'r').await;
    end(&clients, b't').await;
    all_ended(&server).await;
    let page = page.render();
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let metrics: BTreeSet<_> = lines
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    for (name, _) in &metrics {
        assert!(page.contains(&format!("# HELP {name} ")), "{name}");
    }
    metrics
}

#[tokio::test]
async fn names_and_units_follow_the_conventions() {
    let metrics = described(PrometheusBuilder::new()).await;
    for (name, kind) in &metrics {
        let is_of_words = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.starts_with("reagent_"), "{name}");
        assert!(name.chars().all(is_of_words), "{name}");
        let ends = match kind.as_str() {
            "counter" => name.ends_with("_total"),
            "gauge" => !name.ends_with("_total") && !name.ends_with("_count"),
            // A histogram for which no buckets are set.
            "summary" => name.ends_with("_seconds"),
            other => panic!("{other}"),
        };
        assert!(ends, "{name}, a {kind}");
    }
    // The exporter that puts units and suffixes after names finds them there.
    let recommended = PrometheusBuilder::new().with_recommended_naming(true);
    assert_eq!(described(recommended).await, metrics);
}

#[tokio::test]
async fn the_documentation_lists_every_metric_and_its_kind() {
    let documented: BTreeSet<_> = include_str!("../../src/metrics/mod.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `reagent_"))
        .map(|line| {
            let mut columns = line.split('|');
            let name = columns.next().unwrap().trim_end().trim_end_matches('`');
            let kind = columns.next().unwrap().trim();
            (
                format!("reagent_{name}"),
                kind.replace("histogram", "summary"),
            )
        })
        .collect();
    assert_eq!(documented.len(), 18);
    assert_eq!(described(PrometheusBuilder::new()).await, documented);
}
