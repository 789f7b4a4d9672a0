//! The metrics of upstreams.

use crate::values::Target;
use reagent_layers::upstream::{UpstreamStats, Upstreams};
use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

type Value = fn(&UpstreamStats) -> u64;

const METRICS: [(&str, &str, &str, Value); 4] = [
    (
        "gateway_upstream_connections_open",
        "gauge",
        "Open connections to an upstream",
        |stats| stats.open as u64,
    ),
    (
        "gateway_upstream_connections_total",
        "counter",
        "Connections made to an upstream",
        |stats| stats.total,
    ),
    (
        "gateway_upstream_failures_total",
        "counter",
        "Failed attempts and connections of an upstream",
        |stats| stats.failures,
    ),
    (
        "gateway_upstream_available",
        "gauge",
        "Whether an upstream is used",
        |stats| u64::from(stats.state.is_available()),
    ),
];

/// The sets whose upstreams have metrics, with the labels of their listeners. Clones share them.
///
/// The recorder of the other metrics keeps every series forever, and the addresses of a name may
/// change forever. So these are written from what is in the sets.
#[derive(Clone, Default)]
pub struct UpstreamMetrics(Arc<Mutex<LabelledSets>>);

type LabelledSets = Vec<(String, Upstreams<Target>)>;

impl UpstreamMetrics {
    pub fn show(&self, sets: LabelledSets) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sets;
    }

    /// Appends the metrics to a page, in the text format of Prometheus.
    pub fn render(&self, page: &mut String) {
        let sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = sets.iter().flat_map(|(listener, set)| {
            let stats = set.stats().into_iter();
            stats.map(move |stats| (listener, stats))
        });
        let stats: Vec<_> = stats.collect();
        if stats.is_empty() {
            return;
        }
        for (name, kind, help, value) in METRICS {
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (listener, stats) in &stats {
                let (listener, upstream) = (escaped(listener), escaped(&stats.name));
                let labels = format_args!("listener=\"{listener}\",upstream=\"{upstream}\"");
                let _ = writeln!(page, "{name}{{{labels}}} {}", value(stats));
            }
            page.push('\n');
        }
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    text.replace('"', "\\\"").replace('\n', "\\n")
}
