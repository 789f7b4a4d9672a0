//! What upstreams do, and what follows from it.

use super::{
    health::Failure,
    set::{Set, find},
};
use std::sync::Arc;
use tokio::time::Instant;

/// What an upstream has done.
#[derive(Debug)]
pub(super) enum Report {
    Connected,
    /// The client has left while the connection was being made.
    Cancelled,
    NotConnected(Failure, Arc<str>),
    /// The connection has ended.
    Closed,
    ClosedByFailure(Arc<str>),
}

impl<T> Set<T> {
    /// Records what the upstream with this number has done, and gives the place back if it ended.
    pub(super) fn report(&mut self, number: u64, report: Report, now: Instant) {
        let Some(member) = find(&mut self.members, number) else {
            return;
        };
        let failure = match report {
            Report::Connected => {
                member.connecting -= 1;
                member.open += 1;
                member.total += 1;
                member.health.connected();
                None
            }
            Report::Cancelled => {
                member.connecting -= 1;
                None
            }
            Report::NotConnected(failure, error) => {
                member.connecting -= 1;
                Some((failure, error))
            }
            Report::Closed => {
                member.open -= 1;
                member.health.served();
                None
            }
            Report::ClosedByFailure(error) => {
                member.open -= 1;
                Some((Failure::Serve, error))
            }
        };
        if let Some((failure, error)) = failure {
            member.failures += 1;
            member.last_error = Some(error);
            if member.health.failed(failure, &self.settings.ejection) {
                self.eject(number, now);
            }
        }
    }

    /// Ejects an upstream, unless too many are ejected already or it is the last.
    fn eject(&mut self, number: u64, now: Instant) {
        let members = || self.members.iter();
        let has_others = members()
            .any(|other| other.number != number && other.is_in_use() && other.is_healthy());
        // Those that are drained count too, since they may be resumed.
        let ejected = members().filter(|member| member.health.is_ejected());
        let all = members().filter(|member| !member.is_removed);
        if !has_others || ejected.count() >= self.settings.ejection.cap(all.count()) {
            return;
        }
        if let Some(member) = find(&mut self.members, number) {
            member.health.eject(&self.settings.ejection, now);
        }
    }
}
