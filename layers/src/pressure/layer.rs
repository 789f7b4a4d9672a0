//! The layer and its settings.

use super::{Pressure, PressureService};
use crate::{DryRun, Refusal};
use std::sync::Arc;
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) client that came under pressure.
pub const PRESSURE: &str = "pressure";

/// The default threshold of the pause.
const PAUSE: f64 = 0.98;

/// A layer that holds clients back under [`Pressure`], and refuses them if told so. It comes from
/// [`Pressure::layer`].
///
/// It leaves clients in the kernel's queue by not being ready, from a pressure of 0.98 on. A pause
/// through this layer does not interfere with [`ServerHandle::pause`](reagent::ServerHandle::pause).
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct PressureLayer {
    pub(super) pressure: Pressure,
    pub(super) pause: Option<f64>,
    pub(super) refuse: Option<(f64, Refusal)>,
    pub(super) dry_run: DryRun,
}

impl PressureLayer {
    pub(super) fn new(pressure: Pressure) -> Self {
        PressureLayer {
            pressure,
            pause: Some(PAUSE),
            refuse: None,
            dry_run: DryRun::default(),
        }
    }

    /// Leaves clients in the kernel's queue from this pressure on. The default is 0.98.
    ///
    /// Only sources that a [pause helps](super::Source::pausing_helps) count.
    pub fn pause(mut self, threshold: impl Into<Option<f64>>) -> Self {
        self.pause = threshold.into();
        self
    }

    /// Refuses clients from this pressure on. By default none are refused.
    ///
    /// All sources count. While the layer pauses, there is nobody to refuse, so set the threshold
    /// below that of the pause, or the [pause](Self::pause) to `None`.
    pub fn refuse(mut self, threshold: f64, refusal: Refusal) -> Self {
        self.refuse = Some((threshold, refusal));
        self
    }

    /// Sets whether refusals are only tried. In a [`DryRun`], all clients are served, and those
    /// that would have been refused are reported. It does not affect the [pause](Self::pause).
    pub fn dry_run(mut self, dry_run: impl Into<DryRun>) -> Self {
        self.dry_run = dry_run.into();
        self
    }
}

impl<S> Layer<S> for PressureLayer {
    type Service = PressureService<S>;

    fn layer(&self, inner: S) -> PressureService<S> {
        PressureService::new(inner, Arc::new(self.clone()))
    }
}
