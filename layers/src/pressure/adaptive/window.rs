//! The samples of a window.

use std::time::Duration;

/// The most samples that are held. They are enough for a median.
const HELD: usize = 128;

/// Every n-th sample of a window. n doubles whenever too many are held.
#[derive(Debug)]
pub(super) struct Samples {
    held: Vec<Duration>,
    every: usize,
    skipped: usize,
}

impl Samples {
    pub(super) fn new() -> Self {
        Samples {
            held: Vec::with_capacity(HELD),
            every: 1,
            skipped: 0,
        }
    }

    /// Adds a sample, and returns whether it is held.
    pub(super) fn add(&mut self, took: Duration) -> bool {
        self.skipped += 1;
        if self.skipped < self.every {
            return false;
        }
        self.skipped = 0;
        if self.held.len() == HELD {
            let mut n = 0;
            self.held.retain(|_| {
                n += 1;
                n % 2 == 0
            });
            self.every *= 2;
        }
        self.held.push(took);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns the median, and begins a window.
    pub(super) fn take_median(&mut self) -> Duration {
        let middle = self.held.len() / 2;
        let median = match self.held.is_empty() {
            true => Duration::ZERO,
            false => *self.held.select_nth_unstable(middle).1,
        };
        self.held.clear();
        (self.every, self.skipped) = (1, 0);
        median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_samples_has_a_median_of_all() {
        let mut samples = Samples::new();
        for count in [1, 2, 100, 128, 129, 10_000] {
            for n in 0..count {
                samples.add(Duration::from_millis(n));
                assert!(samples.len() <= HELD);
            }
            let median = samples.take_median().as_millis() as u64;
            assert!(
                median.abs_diff(count / 2) <= count / 50,
                "{median} of {count}"
            );
        }
    }
}
