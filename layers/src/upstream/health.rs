//! What is known about whether an upstream serves.

use super::settings::Ejection;
use std::time::Duration;
use tokio::time::Instant;

/// The least share of its weight that an upstream has in a slow start, as in Envoy.
const LEAST: f64 = 0.1;

/// Why an upstream was found not to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was not reached.
    Connect,
    /// It was reached, and then failed the connection.
    Serve,
    /// Neither: this machine could not connect to anything.
    Local,
}

// ## Serving => Ejected { until } => Serving { on_trial } => Serving, and besides up <=> down
#[derive(Debug)]
pub(super) struct Health {
    /// Failures in a row, of attempts to connect and of connections that were made. Each kind is
    /// ended by its own kind of success, since an upstream may accept connections and fail all of
    /// them.
    failed_connects: u32,
    failed_serves: u32,
    ejected_until: Option<Instant>,
    /// The factor of the last ejection's time.
    ejections: u32,
    is_on_trial: bool,
    /// When it began to serve again, or to serve at all if the others did by then.
    returned: Option<Instant>,
    is_down: bool,
    /// Checks in a row that it has passed or failed.
    passed: u32,
    failed: u32,
    is_checked: bool,
}

impl Health {
    /// Returns the health of an upstream of which nothing is known. It is new in a set that serves
    /// already if `is_late`.
    pub(super) fn new(is_late: bool, now: Instant) -> Self {
        Health {
            failed_connects: 0,
            failed_serves: 0,
            ejected_until: None,
            ejections: 0,
            is_on_trial: false,
            returned: is_late.then_some(now),
            is_down: false,
            passed: 0,
            failed: 0,
            is_checked: false,
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.is_down
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejected_until.is_some()
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.is_on_trial
    }

    /// Ends an ejection whose time is over.
    pub(super) fn refresh(&mut self, now: Instant) {
        if self.ejected_until.is_some_and(|until| until <= now) {
            self.ejected_until = None;
            self.is_on_trial = true;
            self.returned = Some(now);
        }
    }

    /// Returns when an ejection ends.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        self.ejected_until
    }

    /// Returns the share of its weight that it has, which grows over the time `slow_start`.
    pub(super) fn share(&self, slow_start: Duration, now: Instant) -> f64 {
        match self.returned {
            Some(returned) if now < returned + slow_start => {
                let passed = now.saturating_duration_since(returned);
                (passed.as_secs_f64() / slow_start.as_secs_f64()).max(LEAST)
            }
            _ => 1.0,
        }
    }

    /// Records that it was reached.
    pub(super) fn connected(&mut self) {
        self.failed_connects = 0;
        self.is_on_trial = false;
    }

    /// Records that a connection has ended without a failure of the upstream.
    pub(super) fn served(&mut self) {
        self.failed_serves = 0;
    }

    /// Records a failure, and returns whether the upstream should be ejected for it.
    pub(super) fn failed(&mut self, failure: Failure, ejection: &Ejection) -> bool {
        let failures = match failure {
            Failure::Connect => &mut self.failed_connects,
            Failure::Serve => &mut self.failed_serves,
            Failure::Local => return false,
        };
        *failures = failures.saturating_add(1);
        let is_enough = *failures >= ejection.failures || self.is_on_trial;
        ejection.failures > 0 && is_enough && !self.is_ejected()
    }

    pub(super) fn eject(&mut self, ejection: &Ejection, now: Instant) {
        let calm = match self.returned {
            Some(returned) => {
                let calm = now.saturating_duration_since(returned).as_nanos();
                u32::try_from(calm / ejection.base.as_nanos()).unwrap_or(u32::MAX)
            }
            None => u32::MAX,
        };
        self.ejections = self.ejections.saturating_sub(calm).saturating_add(1);
        let time = ejection.base.saturating_mul(self.ejections);
        self.ejected_until = Some(now + time.min(ejection.longest));
        (self.failed_connects, self.failed_serves) = (0, 0);
        self.is_on_trial = false;
        self.passed = 0;
    }

    /// Records a check. The first one decides; after that, `rise` or `fall` of them in a row do.
    pub(super) fn checked(&mut self, passed: bool, rise: u32, fall: u32, now: Instant) {
        let is_first = !std::mem::replace(&mut self.is_checked, true);
        if !passed {
            self.failed = self.failed.saturating_add(1);
            self.passed = 0;
            self.is_down |= self.failed >= fall || is_first;
            return;
        }
        self.passed = self.passed.saturating_add(1);
        self.failed = 0;
        if self.passed < rise {
            return;
        }
        self.is_on_trial = false;
        if self.is_down || self.is_ejected() {
            self.is_down = false;
            self.ejected_until = None;
            self.returned = Some(now);
        }
    }
}
