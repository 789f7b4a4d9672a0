//! The layer of handlers in flight and its settings.

use super::InFlight;
use crate::Refusal;
use reagent::limit::Limit;
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) connection for which no handler may run.
pub const IN_FLIGHT: &str = "in flight";

/// Limits how many handlers run at once, by a [`Limit`] that can be changed and shared: by its readiness, so
/// that clients wait in the kernel's queue, or by refusing those above the limit.
///
/// Like [`tower::limit::ConcurrencyLimitLayer`](https://docs.rs/tower/latest/tower/limit/struct.ConcurrencyLimitLayer.html),
/// whose limit is fixed. A handler that gives its stream away and returns no longer counts;
/// [`max_connections`](reagent::Server::max_connections) counts until the stream is closed.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct InFlightLayer {
    pub(super) limit: Limit,
    pub(super) shed: Option<Refusal>,
}

impl InFlightLayer {
    /// Creates a layer that leaves clients above the limit in the kernel's queue.
    pub fn new(limit: Limit) -> Self {
        InFlightLayer { limit, shed: None }
    }

    /// Refuses clients above the limit instead.
    pub fn shed(mut self, refusal: Refusal) -> Self {
        self.shed = Some(refusal);
        self
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlight<S>;

    fn layer(&self, inner: S) -> InFlight<S> {
        InFlight::new(inner, self.clone())
    }
}
