//! The places of connections at upstreams.

use super::{health::Failure, report::Report, set::Taken, shared::Shared};
use std::{fmt, sync::Arc};

/// Where connections are counted, whatever their targets are.
trait Ledger: Send + Sync {
    fn report(&self, number: u64, report: Report);
}

impl<T: Send + Sync> Ledger for Shared<T> {
    fn report(&self, number: u64, report: Report) {
        self.with(|set, now| set.report(number, report, now));
    }
}

/// The place of a connection that is being made. Dropping it gives it back.
pub(super) struct Place {
    ledger: Arc<dyn Ledger>,
    pub(super) number: u64,
    pub(super) name: Arc<str>,
    report: Option<Report>,
}

impl Place {
    pub(super) fn new<T: Send + Sync + 'static>(shared: Arc<Shared<T>>, taken: &Taken<T>) -> Self {
        Place {
            ledger: shared,
            number: taken.number,
            name: taken.name.clone(),
            report: Some(Report::Cancelled),
        }
    }

    pub(super) fn connected(mut self) -> UpstreamGuard {
        self.report = None;
        self.ledger.report(self.number, Report::Connected);
        UpstreamGuard {
            ledger: self.ledger.clone(),
            number: self.number,
            name: self.name.clone(),
            report: Some(Report::Closed),
        }
    }

    pub(super) fn failed(mut self, failure: Failure, error: Arc<str>) {
        self.report = Some(Report::NotConnected(failure, error));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(report) = self.report.take() {
            self.ledger.report(self.number, report);
        }
    }
}

/// Counts a connection as open at its upstream until it is dropped. Keep it as long as the
/// connection.
#[must_use = "dropping the guard at once counts the connection as closed"]
pub struct UpstreamGuard {
    ledger: Arc<dyn Ledger>,
    number: u64,
    name: Arc<str>,
    report: Option<Report>,
}

impl UpstreamGuard {
    /// Returns the name of the upstream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the connection as one that the upstream has failed, for example because it has reset
    /// the connection before the first byte of an answer.
    ///
    /// Such failures in a row count towards the [`Ejection`](super::Ejection) of the upstream as
    /// failures to connect do. Unlike those, they are ended by a connection that closes without a
    /// failure, not by one that opens: an upstream may accept connections and fail all of them.
    pub fn failed(mut self, error: impl fmt::Display) {
        self.report = Some(Report::ClosedByFailure(error.to_string().into()));
    }
}

impl Drop for UpstreamGuard {
    fn drop(&mut self) {
        if let Some(report) = self.report.take() {
            self.ledger.report(self.number, report);
        }
    }
}

impl fmt::Debug for UpstreamGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UpstreamGuard").field(&self.name).finish()
    }
}
