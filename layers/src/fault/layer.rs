//! The layer of faults and its settings.

use super::{
    Fault, FaultService,
    plan::{Plan, rng},
};
use std::sync::Arc;
use tower_layer::Layer;

// The numbers come from fastrand, since other layers depend on it already. `rand_pcg` promises the
// same numbers in every version, but a seed only has to reproduce a failure with the same lock
// file.

/// A layer that injects faults. It has none until they are added by [`with`](Self::with).
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct FaultLayer {
    seed: u64,
    faults: Arc<Vec<(f64, Fault)>>,
}

impl FaultLayer {
    /// Creates a layer without faults. The seed decides which connections each fault hits.
    pub fn new(seed: u64) -> Self {
        FaultLayer {
            seed,
            faults: Arc::default(),
        }
    }

    /// Adds a fault that hits each connection with this probability, from 0.0 (none) to 1.0 (all).
    ///
    /// If two faults of one kind hit a connection, the one added last applies.
    pub fn with(mut self, probability: f64, fault: Fault) -> Self {
        Arc::make_mut(&mut self.faults).push((probability, fault));
        self
    }

    /// Returns the faults that hit the connection with this number, in the order in which they were
    /// added.
    ///
    /// The number is that of [`Connection::id`](reagent::Connection::id), which counts from 1.
    pub fn hits(&self, id: u64) -> impl Iterator<Item = Fault> {
        self.drawn(id).map(|(_, fault)| fault)
    }

    /// Returns the same as `hits`, each with its index.
    fn drawn(&self, id: u64) -> impl Iterator<Item = (u64, Fault)> {
        let faults = (0..).zip(self.faults.iter());
        faults.filter_map(move |(index, &(probability, fault))| {
            let hits = rng([self.seed, id, index]).f64() < probability;
            hits.then_some((index, fault))
        })
    }

    pub(super) fn plan(&self, id: u64) -> Option<Plan> {
        let mut drawn = self.drawn(id).peekable();
        drawn.peek()?;
        let drawn = drawn.map(|(index, fault)| {
            let rngs = [1, 2].map(|direction| rng([self.seed, id, index, direction]));
            (fault, rngs)
        });
        Some(Plan::new(drawn))
    }
}

impl<S> Layer<S> for FaultLayer {
    type Service = FaultService<S>;

    fn layer(&self, inner: S) -> FaultService<S> {
        FaultService::new(inner, self.clone())
    }
}
