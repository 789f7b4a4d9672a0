//! A limit that is lowered when things take longer than usual.

use super::{Algorithm, Window};

/// The parts by which the usual time follows a sample. It follows one that is lower at once, since
/// load only ever adds to a time. It follows one that is higher within half a minute (30 windows)
/// while the limit is not reached, and within an hour while it is: then the time may be that high
/// because the limit is.
const DOWN: f64 = 0.2;
const UP: f64 = 1.0 / 30.0;
const UP_WHEN_FULL: f64 = 1.0 / 3600.0;

/// The part by which the limit follows its new value, as in Netflix's `Gradient2Limit`.
const SMOOTHING: f64 = 0.2;

/// Lowers the limit when samples take longer than usual by more than a tolerance, without a target
/// to choose.
///
/// With *g* = tolerance × usual ÷ sample, between 0.5 and 1, the limit moves towards limit × *g* +
/// √limit. The gradient and the smoothing are those of Netflix's `Gradient2Limit`, and √limit is
/// the headroom of Envoy's gradient controller. The usual time differs from both: it is a mean that
/// follows lower samples quickly, and higher ones slowly while the limit is reached. A mean of all
/// samples would rise with the load that the limit itself admits, so that the limit never settles.
///
/// Under a lasting load the limit settles where samples take about 1.5 times (the tolerance) the
/// usual time, and grows by less than 1 % a minute. If the service becomes slower for good at that
/// moment, the limit is too low until load lets up, or for about an hour.
#[derive(Clone, Copy, Debug)]
pub struct Gradient {
    tolerance: f64,
    /// In seconds.
    usual: Option<f64>,
}

impl Gradient {
    /// Creates an algorithm with a tolerance of 1.5.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets by which factor samples may exceed the usual time. The default is 1.5. Values below 1
    /// count as 1.
    pub fn tolerance(mut self, factor: f64) -> Self {
        self.tolerance = factor.max(1.0);
        self
    }
}

impl Default for Gradient {
    fn default() -> Self {
        Gradient {
            tolerance: 1.5,
            usual: None,
        }
    }
}

impl Algorithm for Gradient {
    fn next(&mut self, window: &Window) -> f64 {
        let took = window.took.as_secs_f64().max(1e-9);
        let usual = self.usual.get_or_insert(took);
        let part = match (took < *usual, window.is_full()) {
            (true, _) => DOWN,
            (false, false) => UP,
            (false, true) => UP_WHEN_FULL,
        };
        *usual += (took - *usual) * part;
        let gradient = (self.tolerance * *usual / took).clamp(0.5, 1.0);
        let target = window.limit * gradient + window.limit.sqrt();
        window.limit + (target - window.limit) * SMOOTHING
    }
}
