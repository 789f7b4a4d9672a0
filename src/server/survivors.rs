//! The connections that are left at the deadline of a drain.

use super::notices::Notices;
use crate::connection::{
    ConnectionHandle, ConnectionInfo, DrainReport, Phase, Registry, SurvivalReason, Survivor, flag,
};
use std::time::Duration;

/// The number of survivors that are described in a report.
const DESCRIBED: usize = 100;

/// The time that a connection needs at least to act on a notice. If it had less, nothing can be
/// said about it.
const NOTICE: Duration = Duration::from_millis(100);

/// The connections that were aborted, with what was known about them before.
pub(super) struct Survivors(Vec<Aborted>);

struct Aborted {
    connection: ConnectionHandle,
    phase: Phase,
    has_listened: bool,
    notified_at: Option<Duration>,
    had_time: bool,
    /// The phase after the abort.
    end: Phase,
}

impl Survivors {
    /// Aborts every open connection.
    pub(super) fn abort_all(registry: &Registry, notices: &Notices) -> Self {
        let mut all = Vec::new();
        let deadline = notices.elapsed();
        registry.for_each(|connection| {
            let notified_at = notices.sent_at(&connection);
            let phase = connection.phase();
            all.push(Aborted {
                phase,
                end: phase,
                has_listened: connection.entry.has(flag::HEARD_DRAIN),
                had_time: notified_at.is_some_and(|at| deadline.saturating_sub(at) >= NOTICE),
                notified_at,
                connection: connection.clone(),
            });
            connection.abort();
        });
        Survivors(all)
    }

    /// Adds the survivors to the report of the drain.
    pub(super) fn report(mut self, report: &mut DrainReport) {
        report.aborted = self.0.len();
        for aborted in &mut self.0 {
            aborted.end = aborted.connection.phase();
            report.reasons[aborted.reason() as usize] += 1;
        }
        self.0.sort_by_key(|aborted| {
            let connection = &aborted.connection;
            (
                !aborted.is_open(),
                connection.accepted_at(),
                connection.id(),
            )
        });
        let described = self.0.iter().take(DESCRIBED);
        report.survivors = described.map(Aborted::describe).collect();
    }
}

impl Aborted {
    fn is_open(&self) -> bool {
        self.end != Phase::Closed
    }

    fn reason(&self) -> SurvivalReason {
        match (self.end, self.phase) {
            (Phase::Closed, _) if !self.had_time => SurvivalReason::NotifiedLate,
            (Phase::Detached, _) | (Phase::Closed, Phase::Detached) => SurvivalReason::Detached,
            (Phase::Closed, Phase::Accepted | Phase::Upgrading) => SurvivalReason::Opening,
            (Phase::Closed, _) if self.has_listened => SurvivalReason::Unfinished,
            (Phase::Closed, _) => SurvivalReason::NotListening,
            _ => SurvivalReason::Blocked,
        }
    }

    fn describe(&self) -> Survivor {
        Survivor {
            connection: ConnectionInfo {
                phase: self.phase,
                ..self.connection.info()
            },
            notified_at: self.notified_at,
            has_listened: self.has_listened,
            is_open: self.is_open(),
            reason: self.reason(),
        }
    }
}
