//! Counters of one name, told apart by a label.

use super::{names::Metric, source::Source};
use ::metrics::{Counter, Label};
use std::sync::{OnceLock, PoisonError, RwLock};

/// Past this many values a label says nothing that somebody reads, and costs a time series each.
const VALUES_AT_MOST: usize = 32;

/// Past this many bytes a value is a text and no word.
const BYTES_AT_MOST: usize = 64;

const OTHER: &str = "other";

pub(super) struct Family {
    source: Source,
    metric: Metric,
    listener: Label,
    label: &'static str,
    known: RwLock<Vec<(Box<str>, Counter)>>,
    other: OnceLock<Counter>,
}

impl Family {
    /// Counters that begin at zero for the values that are `known` already.
    pub(super) fn new(
        source: &Source,
        metric: Metric,
        listener: &Label,
        label: &'static str,
        known: &[&'static str],
    ) -> Self {
        let family = Family {
            source: source.clone(),
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

    pub(super) fn increment(&self, value: &str) {
        let is_full = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, counter)) = known.iter().find(|(known, _)| **known == *value) {
                return counter.increment(1);
            }
            known.len() >= VALUES_AT_MOST
        };
        if is_full || value.len() > BYTES_AT_MOST {
            self.other().increment(1);
        } else {
            self.learn(value).increment(1);
        }
    }

    fn other(&self) -> &Counter {
        self.other.get_or_init(|| self.counter(OTHER))
    }

    fn learn(&self, value: &str) -> Counter {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Others may have been here in between.
        if let Some((_, counter)) = known.iter().find(|(known, _)| **known == *value) {
            return counter.clone();
        }
        if known.len() >= VALUES_AT_MOST {
            return self.other().clone();
        }
        let counter = self.counter(value);
        known.push((value.into(), counter.clone()));
        counter
    }

    fn counter(&self, value: &str) -> Counter {
        let label = Label::new(self.label, value.to_owned());
        self.source
            .counter(&self.metric, vec![self.listener.clone(), label])
    }
}
