//! The source of metric handles.

use super::names::Metric;
use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use std::{fmt, sync::Arc};

static METADATA: Metadata<'static> =
    Metadata::new("reagent_layers::metrics", Level::INFO, Some(module_path!()));

/// A recorder passed by the user, or the global one of the facade.
#[derive(Clone)]
pub(super) struct Source(pub(super) Option<Arc<dyn Recorder + Send + Sync>>);

impl Source {
    pub(super) fn with<T>(&self, f: impl FnOnce(&dyn Recorder) -> T) -> T {
        match &self.0 {
            Some(recorder) => f(&**recorder),
            None => ::metrics::with_recorder(f),
        }
    }

    pub(super) fn counter(&self, metric: &Metric, labels: Vec<Label>) -> Counter {
        let key = Key::from_parts(metric.name, labels);
        self.with(|recorder| recorder.register_counter(&key, &METADATA))
    }

    pub(super) fn gauge(&self, metric: &Metric, labels: Vec<Label>) -> Gauge {
        let key = Key::from_parts(metric.name, labels);
        self.with(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    pub(super) fn histogram(&self, metric: &Metric, labels: Vec<Label>) -> Histogram {
        let key = Key::from_parts(metric.name, labels);
        self.with(|recorder| recorder.register_histogram(&key, &METADATA))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "a custom recorder",
            None => "the global recorder",
        })
    }
}
