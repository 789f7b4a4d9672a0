//! The layer of a cluster limit.

use super::{ClusterService, admission::Admission};
use tower_layer::Layer;

/// A layer that limits connections by a [`ClusterPerClient`](super::ClusterPerClient) or a
/// [`ClusterRate`](super::ClusterRate).
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct ClusterLayer<L> {
    limit: L,
}

impl<L: Admission> ClusterLayer<L> {
    /// Creates a layer that limits connections by `limit`.
    pub fn new(limit: L) -> Self {
        ClusterLayer { limit }
    }
}

impl<S, L: Clone> Layer<S> for ClusterLayer<L> {
    type Service = ClusterService<S, L>;

    fn layer(&self, inner: S) -> ClusterService<S, L> {
        ClusterService::new(inner, self.limit.clone())
    }
}
