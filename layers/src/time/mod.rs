//! Deadlines.

mod timer;

pub(crate) use timer::DeadlineTimer;

/// A limit that is never reached: 30 years.
#[cfg(any(
    feature = "access",
    feature = "cluster",
    feature = "fault",
    feature = "http",
    feature = "limit",
    feature = "pressure",
    feature = "route",
    feature = "starttls",
    feature = "timeout"
))]
pub(crate) const FAR: std::time::Duration = std::time::Duration::from_secs(30 * 365 * 24 * 3600);
