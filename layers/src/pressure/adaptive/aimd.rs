//! A limit that is lowered above a target time.

use super::{Algorithm, Window};
use std::time::Duration;

/// The least and the most by which a limit is lowered at once.
const LEAST: f64 = 0.97;
const MOST: f64 = 0.5;

/// The part of the limit by which it is raised.
const STEP: f64 = 0.03;

/// Lowers the limit while samples are above a target, and raises it otherwise (additive increase,
/// multiplicative decrease).
///
/// A step down is proportional to the excess: to target ÷ sample, but by 3 % at least and by half
/// at most. A step up is 3 %, and 1 at least. So the limit swings by a few percent around the load that
/// takes the target time.
#[derive(Clone, Copy, Debug)]
pub struct Aimd {
    target: Duration,
}

impl Aimd {
    /// Creates an algorithm that keeps the median of the samples below `target`.
    pub fn new(target: Duration) -> Self {
        Aimd { target }
    }
}

impl Algorithm for Aimd {
    fn next(&mut self, window: &Window) -> f64 {
        if window.took > self.target {
            let part = self.target.as_secs_f64() / window.took.as_secs_f64();
            return window.limit * part.clamp(MOST, LEAST);
        }
        window.limit + (window.limit * STEP).max(1.0)
    }
}
