//! When certificates are renewed, and failed attempts repeated.

use super::{AcmeError, certificate::Certificate};
use std::{
    collections::VecDeque,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// The time over which the limit on orders counts.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The least time between a certificate and its renewal, whatever the directory suggests.
const LEAST_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest sleep, since the clock can be set, and stands still while the machine is suspended.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// Returns the time at which to renew a certificate: at two thirds of its lifetime, or up to a
/// thirtieth later, so that certificates that were issued together are not renewed together.
pub(super) fn renewal(certificate: &Certificate) -> SystemTime {
    let lifetime = lifetime(certificate);
    certificate.not_before + lifetime * 2 / 3 + (lifetime / 30).mul_f64(fastrand::f64())
}

/// Returns a random time in the window that the directory suggests (RFC 9773), within what is
/// reasonable: not in the first day or tenth of the lifetime, and not in its last sixth.
pub(super) fn suggested(certificate: &Certificate, window: Range<SystemTime>) -> SystemTime {
    let lifetime = lifetime(certificate);
    let earliest = certificate.not_before + (lifetime / 10).min(LEAST_AGE);
    let latest = certificate.not_before + lifetime * 5 / 6;
    let length = window.end.duration_since(window.start).unwrap_or_default();
    let chosen = window.start.checked_add(length.mul_f64(fastrand::f64()));
    chosen.unwrap_or(latest).clamp(earliest, latest)
}

fn lifetime(certificate: &Certificate) -> Duration {
    let lifetime = certificate.not_after.duration_since(certificate.not_before);
    lifetime.unwrap_or_default()
}

/// When to do what for a domain.
#[derive(Default)]
pub(super) struct Schedule {
    /// `None` if there is no certificate yet.
    pub(super) renew_at: Option<SystemTime>,
    /// The end of the pause after a failure.
    pub(super) retry_at: Option<Instant>,
    /// When to ask for the suggestion of the directory.
    pub(super) ask_at: Option<Instant>,
    pub(super) failures: u32,
    pub(super) error: Option<Arc<AcmeError>>,
}

impl Schedule {
    /// Returns when to order a certificate.
    pub(super) fn order_at(&self, now: Instant) -> Instant {
        let renew_at = self.renew_at.map_or(now, |at| {
            let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
            now + wait.min(LONGEST_SLEEP * 2)
        });
        self.retry_at
            .map_or(renew_at, |retry_at| retry_at.max(renew_at))
    }
}

/// The pauses between failed attempts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Backoff {
    /// Returns the pause after a number of failures in a row, which is random from half of it on.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let pause = self.first.saturating_mul(doubled).min(self.longest);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// The limit on the number of orders in an hour.
#[derive(Debug)]
pub(super) struct OrderLimit {
    max: usize,
    begun: VecDeque<Instant>,
}

impl OrderLimit {
    pub(super) fn new(max: u32) -> Self {
        OrderLimit {
            max: max.max(1) as usize,
            begun: VecDeque::new(),
        }
    }

    /// Counts an order, or returns the time until which it has to wait.
    pub(super) fn begin(&mut self, now: Instant) -> Result<(), Instant> {
        self.begun.retain(|begun| *begun + HOUR > now);
        match self.begun.front() {
            Some(oldest) if self.begun.len() >= self.max => Err(*oldest + HOUR),
            _ => {
                self.begun.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Returns a certificate that is valid for 90 days from 2026 on.
    fn certificate() -> Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["example.org".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let own = params.self_signed(&key).unwrap();
        let pem = [key.serialize_pem(), own.pem()].concat();
        Certificate::read("example.org", &pem).unwrap()
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_lifetime() {
        let certificate = certificate();
        for _ in 0..100 {
            let at = renewal(&certificate);
            let age = at.duration_since(certificate.not_before).unwrap();
            assert!((DAY * 60..DAY * 63).contains(&age), "{age:?}");
        }
    }

    #[test]
    fn a_suggested_window_is_followed_within_reason() {
        let certificate = certificate();
        let day = |n: u32| certificate.not_before + DAY * n;
        for _ in 0..100 {
            let at = suggested(&certificate, day(40)..day(42));
            assert!((day(40)..day(42)).contains(&at));
        }
        let at = |window| suggested(&certificate, window);
        assert_eq!(at(UNIX_EPOCH..UNIX_EPOCH), day(1), "long ago");
        assert_eq!(at(day(4000)..day(5000)), day(75), "never");
        assert_eq!(at(day(50)..day(40)), day(50), "backwards");
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_secs(60), Duration::from_secs(1000));
        let backoff = Backoff { first, longest };
        for (failures, most) in [(1, 60), (2, 120), (5, 960), (6, 1000), (u32::MAX, 1000)] {
            let most = Duration::from_secs(most);
            let pause = backoff.pause(failures);
            assert!((most / 2..=most).contains(&pause), "{failures}: {pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn orders_are_limited_per_hour() {
        let mut limit = OrderLimit::new(2);
        let start = Instant::now();
        assert!(limit.begin(start).is_ok());
        assert!(limit.begin(start + HOUR / 2).is_ok());
        assert_eq!(limit.begin(start + HOUR / 2), Err(start + HOUR));
        assert!(limit.begin(start + HOUR).is_ok());
        assert_eq!(limit.begin(start + HOUR), Err(start + HOUR + HOUR / 2));
    }
}
