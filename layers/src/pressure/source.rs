//! Where pressure comes from.

use reagent::ServerHandle;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// Measures the pressure on one resource.
///
/// It is sampled by one task, so it needs no lock, and must not block. After a panic it has no
/// [reading](super::PressureStats::readings) and counts as 0 until the next sample. [`source_fn`]
/// makes one of a closure.
pub trait Source: Send + 'static {
    /// Returns the name of the resource, such as `descriptors`.
    fn name(&self) -> &'static str;

    /// Measures the pressure: 0 if the resource is unused, 1 if it is used up. Other values are
    /// clamped. `None` means that it cannot be measured now; it counts as 0.
    fn sample(&mut self, moment: &Moment<'_>) -> Option<f64>;

    /// Returns whether open connections hold the resource, so that closing idle ones relieves it.
    /// The default is `true`.
    fn closing_helps(&self) -> bool {
        true
    }

    /// Returns whether the resource is relieved if no client is accepted for a while. The default
    /// is `true`.
    fn pausing_helps(&self) -> bool {
        true
    }
}

/// The moment of a sample.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Moment<'a> {
    /// The server under pressure.
    pub server: &'a ServerHandle,
    /// The current time.
    pub now: Instant,
    /// The time by which the sampling task was woken too late.
    pub late: Duration,
}

impl<'a> Moment<'a> {
    /// Creates a moment, for tests of a source.
    pub fn new(server: &'a ServerHandle, now: Instant, late: Duration) -> Self {
        Moment { server, now, late }
    }
}

/// Creates a source of a closure that returns the pressure, from 0 to 1.
///
/// ```
/// use reagent_layers::pressure::{Pressure, source_fn};
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering::Relaxed}};
///
/// let queued = Arc::new(AtomicUsize::new(0));
/// let jobs = queued.clone();
/// let pressure = Pressure::builder()
///     .source(source_fn("jobs", move || jobs.load(Relaxed) as f64 / 1000.0))
///     .build();
/// # drop(pressure);
/// ```
pub fn source_fn(name: &'static str, measure: impl FnMut() -> f64 + Send + 'static) -> SourceFn {
    SourceFn {
        name,
        measure: Box::new(measure),
    }
}

/// The source of [`source_fn`].
pub struct SourceFn {
    name: &'static str,
    measure: Box<dyn FnMut() -> f64 + Send>,
}

impl Source for SourceFn {
    fn name(&self) -> &'static str {
        self.name
    }

    fn sample(&mut self, _: &Moment<'_>) -> Option<f64> {
        Some((self.measure)())
    }
}

impl fmt::Debug for SourceFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceFn").field(&self.name).finish()
    }
}
