//! The layer of an accept rate and its settings.

use super::AcceptRateService;
use crate::{
    Refusal,
    client::bucket::{Bucket, Rate},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) connection above the accept rate.
pub const ACCEPT_RATE: &str = "accept rate";

/// A rate of connections that can be changed while it holds. Clones share it, whichever servers they limit.
#[derive(Clone, Debug)]
pub struct AcceptRate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rate: Rate,
    bucket: Bucket,
}

impl AcceptRate {
    /// Creates a rate of `per_second` connections, and up to `burst` at once after a pause, which is at
    /// least 1.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let rate = Rate::new(per_second, burst);
        let bucket = Bucket::full(rate, Instant::now());
        AcceptRate(Arc::new(Mutex::new(State { rate, bucket })))
    }

    /// Changes the rate. Acceptors that wait already notice within a second.
    pub fn set(&self, per_second: f64, burst: f64) {
        self.with(|state| state.rate = Rate::new(per_second, burst));
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a token, or returns the time until there is one; `None` is never.
    pub(super) fn take(&self) -> Result<(), Option<Duration>> {
        self.with(|state| state.bucket.take(state.rate, Instant::now()))
    }

    /// Gives back a token of a client that did not come.
    pub(super) fn give_back(&self) {
        self.with(|state| state.bucket.give_back(1.0));
    }
}

/// Limits how fast connections are accepted: by its readiness, so that clients wait in the kernel's queue, or by
/// refusing those above the rate.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct AcceptRateLayer {
    pub(super) rate: AcceptRate,
    pub(super) shed: Option<Refusal>,
}

impl AcceptRateLayer {
    /// Creates a layer that leaves clients above the rate in the kernel's queue.
    pub fn new(rate: AcceptRate) -> Self {
        AcceptRateLayer { rate, shed: None }
    }

    /// Refuses clients above the rate instead.
    pub fn shed(mut self, refusal: Refusal) -> Self {
        self.shed = Some(refusal);
        self
    }
}

impl<S> Layer<S> for AcceptRateLayer {
    type Service = AcceptRateService<S>;

    fn layer(&self, inner: S) -> AcceptRateService<S> {
        AcceptRateService::new(inner, self.clone())
    }
}
