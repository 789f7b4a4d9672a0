//! The delay of tasks that are ready to run.

use super::super::source::{Moment, Source};
use std::time::Duration;

/// The number of samples over which the least delay counts.
const SAMPLES: usize = 4;

/// The delay of tasks on the runtime: how late the sampling task runs. The least delay of 4 samples
/// counts, since only a delay that stays is a queue (RFC 8289, section 3.1).
///
/// With [`Server::per_core`](reagent::Server::per_core) it measures the runtime on which the
/// pressure was [attached](super::super::Pressure::attach), not those of the cores.
#[derive(Clone, Debug)]
pub struct SchedulerLag {
    most: Duration,
    recent: [Duration; SAMPLES],
    next: usize,
}

impl SchedulerLag {
    /// Creates a source that is at 1 when tasks run 100 ms late.
    pub fn new() -> Self {
        Self::most(Duration::from_millis(100))
    }

    /// Creates a source that is at 1 when tasks run late by `most`.
    pub fn most(most: Duration) -> Self {
        SchedulerLag {
            most,
            recent: [Duration::ZERO; SAMPLES],
            next: 0,
        }
    }
}

impl Default for SchedulerLag {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for SchedulerLag {
    fn name(&self) -> &'static str {
        "scheduler lag"
    }

    fn sample(&mut self, moment: &Moment<'_>) -> Option<f64> {
        self.recent[self.next] = moment.late;
        self.next = (self.next + 1) % SAMPLES;
        let least = self.recent.iter().min()?;
        Some(least.as_secs_f64() / self.most.as_secs_f64())
    }

    fn closing_helps(&self) -> bool {
        false
    }
}
