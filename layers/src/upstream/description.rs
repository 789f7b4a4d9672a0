//! What a program says about an upstream.

use std::sync::Arc;

/// An upstream: a name, what a connector needs to connect to it, and its settings.
///
/// The name identifies the upstream in a set: [`Upstreams::set`](super::Upstreams::set) keeps the
/// state of upstreams by their names, and [`Balance::Hash`](super::Balance::Hash) depends on
/// nothing but names, weights and keys. An address makes a good name.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream<T> {
    pub(super) name: Arc<str>,
    pub(super) target: Arc<T>,
    pub(super) weight: u32,
    pub(super) max: usize,
}

impl<T> Upstream<T> {
    /// Creates an upstream of weight 1 without a limit.
    pub fn new(name: impl Into<Arc<str>>, target: T) -> Self {
        Upstream {
            name: name.into(),
            target: Arc::new(target),
            weight: 1,
            max: usize::MAX,
        }
    }

    /// Sets the weight: an upstream of weight 2 has twice the connections of one of weight 1. The
    /// default is 1. An upstream of weight 0 is used only if no other can be.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the maximum number of connections that are open or being made. The default is no limit.
    ///
    /// If all upstreams that can be used have reached their limits, clients
    /// [wait](super::UpstreamsBuilder::queue).
    pub fn max_connections(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the connector receives.
    pub fn target(&self) -> &T {
        &self.target
    }
}
