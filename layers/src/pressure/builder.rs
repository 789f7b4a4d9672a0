//! The settings of a pressure.

use super::{
    Actions, CgroupMemory, Descriptors, PermitWait, Pressure, ResidentMemory, SchedulerLag, Source,
    Stall,
};
use std::{fmt, time::Duration};

/// The default interval: four samples within a second, which is a usual time for a client to wait.
const INTERVAL: Duration = Duration::from_millis(250);

/// The default hysteresis: half of the distance between the thresholds of the default actions.
const HYSTERESIS: f64 = 0.05;

/// A builder for a [`Pressure`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    pub(super) sources: Vec<Box<dyn Source>>,
    pub(super) actions: Actions,
    pub(super) interval: Duration,
    pub(super) hysteresis: f64,
}

impl Builder {
    pub(super) fn new() -> Self {
        Builder {
            sources: Vec::new(),
            actions: Actions::default(),
            interval: INTERVAL,
            hysteresis: HYSTERESIS,
        }
    }

    /// Adds a source.
    pub fn source(mut self, source: impl Source) -> Self {
        self.sources.push(Box::new(source));
        self
    }

    /// Adds the sources that need no settings: [`Descriptors`], [`CgroupMemory`], or
    /// [`ResidentMemory`] of the machine where there is no such group, [`Stall::memory`],
    /// [`SchedulerLag`] and [`PermitWait`].
    ///
    /// A source that cannot be measured on this machine has no value in the
    /// [readings](super::PressureStats::readings).
    pub fn standard_sources(self) -> Self {
        let builder = self
            .source(Descriptors)
            .source(Stall::memory())
            .source(SchedulerLag::new())
            .source(PermitWait::new());
        match (CgroupMemory::of_process(), ResidentMemory::of_machine()) {
            (Some(cgroup), _) => builder.source(cgroup),
            (None, Some(resident)) => builder.source(resident),
            (None, None) => builder,
        }
    }

    /// Sets what follows from the pressure, instead of the default [`Actions`].
    pub fn actions(mut self, actions: Actions) -> Self {
        self.actions = actions;
        self
    }

    /// Sets the time between two samples. The default is 250 ms.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    pub fn interval(mut self, interval: Duration) -> Self {
        assert!(!interval.is_zero(), "the interval must not be zero");
        self.interval = interval;
        self
    }

    /// Sets by how much the pressure must fall below a threshold before the action ends. The
    /// default is 0.05, and the maximum 0.5, so that every action can end.
    pub fn hysteresis(mut self, hysteresis: f64) -> Self {
        let hysteresis = if hysteresis.is_nan() { 0.0 } else { hysteresis };
        self.hysteresis = hysteresis.clamp(0.0, 0.5);
        self
    }

    /// Makes the pressure. It is 0 until it is [attached](Pressure::attach).
    pub fn build(self) -> Pressure {
        Pressure::new(self)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.sources.iter().map(|source| source.name());
        f.debug_struct("Builder")
            .field("sources", &sources.collect::<Vec<_>>())
            .field("actions", &self.actions)
            .field("interval", &self.interval)
            .field("hysteresis", &self.hysteresis)
            .finish()
    }
}
