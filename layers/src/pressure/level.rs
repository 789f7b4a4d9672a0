//! The level of the pressure, as published by the sampler.

/// The pressure on one resource, as last sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// The name of the [source](super::Source).
    pub name: &'static str,
    /// The pressure from 0 to 1, or `None` if it could not be measured.
    pub value: Option<f64>,
}

/// A value with a play: it follows its input up at once, and down only once the input is lower by
/// `play`. So a threshold on it is a threshold on the input with hysteresis.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Held {
    /// The input.
    pub(super) now: f64,
    pub(super) held: f64,
}

impl Held {
    fn follow(&mut self, now: f64, play: f64) {
        self.now = now;
        self.held = now.max(self.held.min(now + play));
    }
}

/// The pressure of all sources together, and of those that an action relieves.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Level {
    pub(super) all: Held,
    /// Of the sources that closing connections relieves.
    pub(super) closing: f64,
    /// Of the sources that a pause relieves.
    pub(super) pausing: Held,
    pub(super) readings: Vec<Reading>,
}

impl Level {
    /// Begins a sample. Each reading is then added by [`add`](Self::add).
    pub(super) fn begin(&mut self) -> Worst {
        self.readings.clear();
        Worst::default()
    }

    /// Ends a sample.
    pub(super) fn end(&mut self, worst: Worst, play: f64) {
        self.all.follow(worst.all, play);
        self.closing = worst.closing;
        self.pausing.follow(worst.pausing, play);
    }

    /// Adds a reading. A value that is no number counts as none.
    pub(super) fn add(&mut self, reading: Reading, worst: &mut Worst, helps: [bool; 2]) {
        let value = reading.value.filter(|value| !value.is_nan());
        let value = value.map(|value| value.clamp(0.0, 1.0));
        self.readings.push(Reading { value, ..reading });
        let value = value.unwrap_or(0.0);
        let [closing_helps, pausing_helps] = helps;
        worst.all = worst.all.max(value);
        if closing_helps {
            worst.closing = worst.closing.max(value);
        }
        if pausing_helps {
            worst.pausing = worst.pausing.max(value);
        }
    }
}

/// The worst readings of a sample.
#[derive(Default)]
pub(super) struct Worst {
    all: f64,
    closing: f64,
    pausing: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_value_rises_at_once_and_falls_after_the_play() {
        let mut held = Held::default();
        let follow = |now: f64| {
            held.follow(now, 0.05);
            (held.held * 100.0).round() as u32
        };
        let values = [0.5, 0.9, 0.88, 0.86, 0.8, 0.82, 0.0];
        assert_eq!(values.map(follow), [50, 90, 90, 90, 85, 85, 5]);
    }
}
