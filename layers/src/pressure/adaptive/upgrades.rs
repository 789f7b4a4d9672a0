//! The observer that measures upgrades.

use super::Adaptive;
use reagent::{Observer, event::ConnectionUpgraded};

/// An [`Observer`] that reports the duration of an upgrade to an [`Adaptive`] limit. It comes from
/// [`Adaptive::upgrades`].
#[derive(Clone, Debug)]
pub struct UpgradeSamples {
    adaptive: Adaptive,
    name: &'static str,
}

impl UpgradeSamples {
    pub(super) fn new(adaptive: Adaptive, name: &'static str) -> Self {
        UpgradeSamples { adaptive, name }
    }
}

impl Observer for UpgradeSamples {
    fn connection_upgraded(&self, event: &ConnectionUpgraded<'_>) {
        if event.upgrade == self.name {
            self.adaptive.sample(event.took);
        }
    }
}
