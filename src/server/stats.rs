//! The counters and the status of a server.

use crate::{addr::Addr, connection::Totals, outcome::OutcomeKind, pool::Group};
use std::{fmt, sync::Arc};

/// The counters and the status of a server at one moment. Counters start at zero with the server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The status of the server.
    pub status: ServerStatus,
    /// The number of open connections.
    pub open: usize,
    /// The maximum number of open connections, or `None` if there is no limit.
    pub max_connections: Option<usize>,
    /// The number of acceptors that run and have a service, over all addresses.
    pub acceptors: usize,
    /// The number of connections accepted so far: the open ones and all that have ended. Does not
    /// include `turned_away`.
    pub accepted: u64,
    /// The number of connections that ended with [`Outcome::Completed`](crate::Outcome::Completed).
    pub completed: u64,
    /// The number of connections that ended with [`Outcome::Failed`](crate::Outcome::Failed).
    pub failed: u64,
    /// The number of connections that ended with
    /// [`Outcome::Disconnected`](crate::Outcome::Disconnected).
    pub disconnected: u64,
    /// The number of connections that ended with [`Outcome::Rejected`](crate::Outcome::Rejected).
    pub rejected: u64,
    /// The number of connections that ended with [`Outcome::TimedOut`](crate::Outcome::TimedOut).
    pub timed_out: u64,
    /// The number of connections that ended with [`Outcome::Drained`](crate::Outcome::Drained).
    pub drained: u64,
    /// The number of connections that ended with [`Outcome::Aborted`](crate::Outcome::Aborted).
    pub aborted: u64,
    /// The number of connections that ended with [`Outcome::Panicked`](crate::Outcome::Panicked).
    pub panicked: u64,
    /// The number of clients that were closed at once because the process or the system had run out
    /// of descriptors. They never became connections.
    pub turned_away: u64,
    /// The listeners, one for each address.
    pub listeners: Vec<ListenerStats>,
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

/// The stage of a server's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerStatus {
    /// The server accepts and serves clients.
    #[default]
    Running,
    /// The server serves its connections, and new clients wait in the queue.
    Paused,
    /// The server is about to drain. It accepts and serves clients, or is paused as before, and
    /// reports that it is not [ready](crate::Readiness).
    LameDuck,
    /// The server waits for its connections to finish.
    Draining,
    /// The server has stopped.
    Stopped,
}

impl ServerStatus {
    /// Returns the status as a label: `running`, `paused`, `lame_duck`, `draining` or `stopped`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ServerStatus::Running => "running",
            ServerStatus::Paused => "paused",
            ServerStatus::LameDuck => "lame_duck",
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

/// The counters and the state of one listener of a server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerStats {
    /// The address it listens on.
    pub addr: Addr,
    /// The [label](crate::Bind::label) that it was given.
    pub label: Option<Arc<str>>,
    /// The reason why it currently does not accept, or `None` if it does.
    pub lost: Option<String>,
    /// Whether it was paused by [`pause_listener`](crate::ServerHandle::pause_listener).
    pub is_paused: bool,
    /// The number of its open connections.
    pub open: usize,
    /// The maximum number of its open connections, or `None` if only the limit of the server
    /// applies.
    pub max_connections: Option<usize>,
    /// The number of places that are [reserved](crate::Bind::reserve) for it.
    pub reserved: usize,
    /// The number of connections it has accepted so far.
    pub accepted: u64,
    ended: [u64; OutcomeKind::ALL.len()],
}

impl ListenerStats {
    pub(super) fn of(group: &Arc<Group>) -> Self {
        let entry = group.entry();
        let totals = entry.totals();
        let max = entry.places.own().max();
        ListenerStats {
            addr: entry.addr.clone(),
            label: entry.label.clone(),
            lost: group.lost(),
            is_paused: group.is_paused(),
            open: totals.open(),
            max_connections: (max < usize::MAX).then_some(max),
            reserved: entry.places.reserved(),
            accepted: totals.accepted,
            ended: totals.ended,
        }
    }

    /// Returns the number of its connections that ended with an outcome of this kind.
    pub fn ended(&self, kind: OutcomeKind) -> u64 {
        self.ended[kind.index()]
    }
}
