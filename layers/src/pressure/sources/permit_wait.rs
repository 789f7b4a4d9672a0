//! The wait for a place under `max_connections`.

use super::super::source::{Moment, Source};
use reagent::Limit;
use std::time::Duration;
use tokio::time::Instant;

/// The time for which some client has been waiting for a place under a limit without a break: by
/// default that of the server, [`max_connections`](reagent::Server::max_connections).
///
/// A wait that ends between two samples is not seen, so a busy server that serves everybody soon
/// has no pressure. A pause does not relieve it, since paused clients wait as well.
#[derive(Clone, Debug)]
pub struct PermitWait {
    most: Duration,
    limit: Option<Limit>,
    since: Option<Instant>,
}

impl PermitWait {
    /// Creates a source that is at 1 when clients have waited for 1 s.
    pub fn new() -> Self {
        Self::most(Duration::from_secs(1))
    }

    /// Creates a source that is at 1 when clients have waited for `most`.
    pub fn most(most: Duration) -> Self {
        PermitWait {
            most,
            limit: None,
            since: None,
        }
    }

    /// Measures another limit, such as that of an `InFlightLayer`.
    pub fn of(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }
}

impl Default for PermitWait {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for PermitWait {
    fn name(&self) -> &'static str {
        "permit wait"
    }

    fn sample(&mut self, moment: &Moment<'_>) -> Option<f64> {
        let limit = self.limit.as_ref();
        let limit = limit.unwrap_or_else(|| moment.server.limit());
        if limit.waiting() == 0 {
            self.since = None;
            return Some(0.0);
        }
        let since = *self.since.get_or_insert(moment.now);
        let waited = moment.now.saturating_duration_since(since);
        Some(waited.as_secs_f64() / self.most.as_secs_f64())
    }

    fn pausing_helps(&self) -> bool {
        false
    }
}
