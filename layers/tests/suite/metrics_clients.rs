//! `MetricsObserver`: the metrics that programs set from a score, a tarpit and a ranking.

use metrics_exporter_prometheus::PrometheusBuilder;
use reagent_layers::metrics::MetricsObserver;

/// Returns the lines of these metrics after `set`, in order.
fn lines(set: impl FnOnce(&MetricsObserver)) -> Vec<String> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    set(&MetricsObserver::with_recorder(recorder));
    let page = page.render();
    let is_set = |line: &&str| !line.starts_with('#') && !line.ends_with(" 0") && !line.is_empty();
    let mut lines: Vec<_> = page.lines().filter(is_set).map(String::from).collect();
    lines.sort();
    lines
}

#[test]
fn bans_are_counted_by_offence_and_apart_from_those_of_a_dry_run() {
    let lines = lines(|metrics| {
        for (offence, is_dry) in [
            ("slow", false),
            ("slow", true),
            ("slow", true),
            ("login", false),
        ] {
            metrics.client_banned(offence, is_dry);
        }
    });
    assert_eq!(
        lines,
        [
            r#"reagent_bans_total{dry_run="false",offence="login"} 1"#,
            r#"reagent_bans_total{dry_run="false",offence="slow"} 1"#,
            r#"reagent_bans_total{dry_run="true",offence="slow"} 2"#,
        ]
    );
}

#[test]
fn the_counts_of_a_tarpit_are_set_as_they_are() {
    let lines = lines(|metrics| {
        metrics.set_tarpit(7, 2, 1);
        metrics.set_tarpit(4, 5, 3);
    });
    assert_eq!(
        lines,
        [
            "reagent_tarpit_gave_way_total 3",
            "reagent_tarpit_held 4",
            "reagent_tarpit_overflowed_total 5",
        ]
    );
}

#[test]
fn the_pressure_of_each_source_is_set_if_it_has_a_value() {
    let lines = lines(|metrics| {
        metrics.set_pressure([("descriptors", Some(0.25)), ("memory", Some(0.5))]);
        metrics.set_pressure([("descriptors", Some(0.75)), ("memory", None)]);
        metrics.set_pressure_actions(9, 1, 4);
    });
    assert_eq!(
        lines,
        [
            "reagent_pressure_aborted_total 1",
            "reagent_pressure_closed_total 9",
            r#"reagent_pressure_ratio{source="descriptors"} 0.75"#,
            r#"reagent_pressure_ratio{source="memory"} 0.5"#,
            "reagent_pressure_refused_total 4",
        ]
    );
}

#[test]
fn a_ranking_has_ten_series_however_many_clients_there_are() {
    let lines = lines(|metrics| {
        metrics.set_top_clients("bytes", (1..=50).rev());
        metrics.set_top_clients("refusals", 1..=50);
        metrics.set_top_clients("refusals", [9, 8]);
    });
    let of = |by: &str| {
        lines
            .iter()
            .filter(|line| line.contains(by))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("bytes").len(), 10);
    assert_eq!(
        of("bytes")[0],
        r#"reagent_top_clients{by="bytes",rank="1"} 50"#
    );
    assert_eq!(
        of("refusals"),
        [
            r#"reagent_top_clients{by="refusals",rank="1"} 9"#,
            r#"reagent_top_clients{by="refusals",rank="2"} 8"#,
        ]
    );
}
