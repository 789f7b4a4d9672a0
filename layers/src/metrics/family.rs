//! Metrics of one name, one per value of a label.

use super::{names::Metric, source::Source};
use ::metrics::{Counter, Label};
use std::sync::{OnceLock, PoisonError, RwLock};

/// The maximum number of values of a label. Each value costs a time series, and nobody reads more
/// of them than this.
const VALUES_AT_MOST: usize = 32;

/// The maximum length of a value. Anything longer is prose rather than a name.
const BYTES_AT_MOST: usize = 64;

/// The value for everything that has no time series.
pub(super) const OTHER: &str = "other";

pub(super) struct Family<M> {
    source: Source,
    make: Make<M>,
    metric: Metric,
    listener: Label,
    label: &'static str,
    known: RwLock<Vec<(Box<str>, M)>>,
    other: OnceLock<M>,
}

/// [`Source::counter`] or one of its siblings.
type Make<M> = fn(&Source, &Metric, Vec<Label>) -> M;

impl<M: Clone> Family<M> {
    /// Creates a family in which the `known` values exist from the start.
    pub(super) fn new(
        source: &Source,
        make: Make<M>,
        metric: Metric,
        listener: &Label,
        label: &'static str,
        known: &[&'static str],
    ) -> Self {
        let family = Family {
            source: source.clone(),
            make,
            metric,
            listener: listener.clone(),
            label,
            known: RwLock::default(),
            other: OnceLock::new(),
        };
        for value in known {
            drop(family.learn(value));
        }
        family
    }

    pub(super) fn with(&self, value: &str, measure: impl FnOnce(&M)) {
        let is_full = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, metric)) = known.iter().find(|(known, _)| **known == *value) {
                return measure(metric);
            }
            known.len() >= VALUES_AT_MOST
        };
        if is_full || value.len() > BYTES_AT_MOST {
            measure(self.other());
        } else {
            measure(&self.learn(value));
        }
    }

    fn other(&self) -> &M {
        self.other.get_or_init(|| self.make(OTHER))
    }

    fn learn(&self, value: &str) -> M {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have added it in the meantime.
        if let Some((_, metric)) = known.iter().find(|(known, _)| **known == *value) {
            return metric.clone();
        }
        if known.len() >= VALUES_AT_MOST {
            return self.other().clone();
        }
        let metric = self.make(value);
        known.push((value.into(), metric.clone()));
        metric
    }

    fn make(&self, value: &str) -> M {
        let label = Label::new(self.label, value.to_owned());
        (self.make)(
            &self.source,
            &self.metric,
            vec![self.listener.clone(), label],
        )
    }
}

impl Family<Counter> {
    pub(super) fn increment(&self, value: &str) {
        self.with(value, |counter| counter.increment(1));
    }
}
