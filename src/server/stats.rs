//! Counts of what a server did and does.

use crate::{Addr, OutcomeKind};
use std::{
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    open: AtomicUsize,
    acceptors: AtomicUsize,
    accepted: AtomicU64,
    turned_away: AtomicU64,
    ended: [AtomicU64; OutcomeKind::ALL.len()],
}

impl Counters {
    pub(crate) fn connection_started(&self) {
        self.open.fetch_add(1, Relaxed);
        self.accepted.fetch_add(1, Relaxed);
    }

    /// Says whether that was the last.
    pub(crate) fn connection_ended(&self, outcome: OutcomeKind) -> bool {
        self.ended[outcome.index()].fetch_add(1, Relaxed);
        self.open.fetch_sub(1, Relaxed) == 1
    }

    pub(crate) fn turned_away(&self, count: u64) {
        self.turned_away.fetch_add(count, Relaxed);
    }

    pub(crate) fn acceptor_started(&self) {
        self.acceptors.fetch_add(1, Relaxed);
    }

    pub(crate) fn acceptor_stopped(&self) {
        self.acceptors.fetch_sub(1, Relaxed);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// How many ended, in whatever way.
    pub(crate) fn over(&self) -> u64 {
        self.ended.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// How many ended with this outcome.
    pub(crate) fn ended(&self, outcome: OutcomeKind) -> u64 {
        self.ended[outcome.index()].load(Relaxed)
    }

    pub(super) fn fill(&self, stats: &mut Stats) {
        stats.open = self.open();
        stats.acceptors = self.acceptors.load(Relaxed);
        stats.accepted = self.accepted.load(Relaxed);
        stats.turned_away = self.turned_away.load(Relaxed);
        stats.completed = self.ended(OutcomeKind::Completed);
        stats.failed = self.ended(OutcomeKind::Failed);
        stats.disconnected = self.ended(OutcomeKind::Disconnected);
        stats.rejected = self.ended(OutcomeKind::Rejected);
        stats.timed_out = self.ended(OutcomeKind::TimedOut);
        stats.drained = self.ended(OutcomeKind::Drained);
        stats.aborted = self.ended(OutcomeKind::Aborted);
        stats.panicked = self.ended(OutcomeKind::Panicked);
    }
}

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
