//! What a server did and does.

use crate::{addr::Addr, connection::Totals, outcome::OutcomeKind};
use std::fmt;

/// What a server did and does, counted since it started.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// What it is doing.
    pub status: ServerStatus,
    /// Connections open now.
    pub open: usize,
    /// The most there may be; `None` for no limit.
    pub max_connections: Option<usize>,
    /// Acceptors that have a service and run, over all addresses.
    pub acceptors: usize,
    /// Connections accepted: `open` and all that follow, but for `turned_away`.
    pub accepted: u64,
    /// Ended with [`Outcome::Completed`](crate::Outcome::Completed).
    pub completed: u64,
    /// Ended with [`Outcome::Failed`](crate::Outcome::Failed).
    pub failed: u64,
    /// Ended with [`Outcome::Disconnected`](crate::Outcome::Disconnected).
    pub disconnected: u64,
    /// Ended with [`Outcome::Rejected`](crate::Outcome::Rejected).
    pub rejected: u64,
    /// Ended with [`Outcome::TimedOut`](crate::Outcome::TimedOut).
    pub timed_out: u64,
    /// Ended with [`Outcome::Drained`](crate::Outcome::Drained).
    pub drained: u64,
    /// Ended with [`Outcome::Aborted`](crate::Outcome::Aborted).
    pub aborted: u64,
    /// Ended with [`Outcome::Panicked`](crate::Outcome::Panicked).
    pub panicked: u64,
    /// Clients closed at once for want of descriptors; they never became connections.
    pub turned_away: u64,
    /// What it listens on.
    pub listeners: Vec<ListenerStatus>,
}

impl Stats {
    pub(super) fn count(&mut self, totals: &Totals) {
        let ended = |kind: OutcomeKind| totals.ended[kind.index()];
        self.open = totals.open();
        self.accepted = totals.accepted;
        self.completed = ended(OutcomeKind::Completed);
        self.failed = ended(OutcomeKind::Failed);
        self.disconnected = ended(OutcomeKind::Disconnected);
        self.rejected = ended(OutcomeKind::Rejected);
        self.timed_out = ended(OutcomeKind::TimedOut);
        self.drained = ended(OutcomeKind::Drained);
        self.aborted = ended(OutcomeKind::Aborted);
        self.panicked = ended(OutcomeKind::Panicked);
    }
}

/// What a server is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerStatus {
    /// It accepts and serves.
    #[default]
    Running,
    /// It serves, and leaves new clients in the queue.
    Paused,
    /// It waits for its connections to finish.
    Draining,
    /// It is over.
    Stopped,
}

impl ServerStatus {
    /// Returns one word for each, as a label: `running`, `paused`, `draining`, `stopped`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ServerStatus::Running => "running",
            ServerStatus::Paused => "paused",
            ServerStatus::Draining => "draining",
            ServerStatus::Stopped => "stopped",
        }
    }
}

impl fmt::Display for ServerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one address of a server fares.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerStatus {
    /// The address.
    pub addr: Addr,
    /// Why it does not accept at the moment, if so.
    pub lost: Option<String>,
}
