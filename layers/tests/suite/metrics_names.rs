//! `MetricsObserver`: names, kinds and units, and where they are listed.

use crate::{
    endings::{all_ended, end, tell},
    metrics::start,
    support::until,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use reagent_layers::metrics::MetricsObserver;
use std::{collections::BTreeSet, time::UNIX_EPOCH};

/// Produces every metric, and returns the described names and kinds.
async fn described(builder: PrometheusBuilder) -> BTreeSet<(String, String)> {
    let recorder = builder.build_recorder();
    let page = recorder.handle();
    let observer = MetricsObserver::with_recorder(recorder);
    observer.set_certificate_expiry(None, UNIX_EPOCH);
    observer.certificates_reloaded(true);
    observer.client_banned("slow", true);
    observer.set_tarpit(1, 2, 3);
    observer.set_pressure([("descriptors", Some(0.5))]);
    observer.set_pressure_actions(1, 2, 3);
    observer.set_top_clients("bytes", [3, 2, 1]);
    let (server, clients, _) = start(observer).await;
    let first = tell(&clients, b'w').await;
    let second = clients.connect().await.unwrap();
    let at_limit = || page.render().contains("reagent_limit_reached_total{");
    until("the limit", at_limit).await;
    let connection = server.connection(1).unwrap();
    connection.report_spared("limit", "client connections");
    connection.drain();
    drop((first, second));
    end(&clients, b'r').await;
    end(&clients, b't').await;
    end(&clients, b'f').await;
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
            // A histogram without configured buckets.
            "summary" => name.ends_with("_seconds"),
            other => panic!("{other}"),
        };
        assert!(ends, "{name}, a {kind}");
    }
    // The names already have the units and suffixes that this exporter would add.
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
    assert_eq!(documented.len(), 32);
    assert_eq!(described(PrometheusBuilder::new()).await, documented);
}
