//! The layer of bandwidth limits.

use super::{Bandwidth, BandwidthLimits};
use tower_layer::Layer;

/// A layer that limits bytes by a [`BandwidthLimits`]. Its clones, and all layers made from the
/// same limits, share them.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct BandwidthLayer {
    limits: BandwidthLimits,
}

impl BandwidthLayer {
    /// Creates a layer that limits connections by `limits`.
    pub fn new(limits: BandwidthLimits) -> Self {
        BandwidthLayer { limits }
    }
}

impl<S> Layer<S> for BandwidthLayer {
    type Service = Bandwidth<S>;

    fn layer(&self, inner: S) -> Bandwidth<S> {
        Bandwidth::new(inner, self.limits.clone())
    }
}
