//! The figures of an upstream, and the changes of its state.

use std::{fmt, sync::Arc, time::Duration};

/// The state of an upstream, which decides whether connections are made to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamState {
    /// It has its full share of the connections.
    Up,
    /// It has returned, or is new in a set that serves, and has a growing share.
    SlowStart,
    /// It was ejected, and has to serve one connection before it has more.
    Trial,
    /// It has failed too often in a row, and is left out for some time.
    Ejected,
    /// It has failed its checks, and is left out until it passes them.
    Down,
    /// It was [drained](super::Upstreams::drain), and gets no connections.
    Drained,
    /// It is no longer in the set, and has connections that are still open.
    Removed,
}

impl UpstreamState {
    /// Returns whether connections are made to it while others can be used too.
    pub fn is_available(self) -> bool {
        matches!(
            self,
            UpstreamState::Up | UpstreamState::SlowStart | UpstreamState::Trial
        )
    }

    /// Returns the name of the state, such as `slow_start`.
    pub fn as_str(self) -> &'static str {
        match self {
            UpstreamState::Up => "up",
            UpstreamState::SlowStart => "slow_start",
            UpstreamState::Trial => "trial",
            UpstreamState::Ejected => "ejected",
            UpstreamState::Down => "down",
            UpstreamState::Drained => "drained",
            UpstreamState::Removed => "removed",
        }
    }
}

impl fmt::Display for UpstreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The figures of an upstream: see [`Upstreams::stats`](super::Upstreams::stats).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UpstreamStats {
    /// The name.
    pub name: Arc<str>,
    /// The weight, as it was set.
    pub weight: u32,
    /// The limit of connections, if it has one.
    pub max_connections: Option<usize>,
    /// The number of connections that are open.
    pub open: usize,
    /// The number of connections that are being made.
    pub connecting: usize,
    /// The number of connections that were made.
    pub total: u64,
    /// The number of attempts that failed, and of connections that were reported as
    /// [failed](super::UpstreamGuard::failed). Errors of this machine, such as too few descriptors,
    /// count as well, though the upstream is not ejected for them.
    pub failures: u64,
    /// Whether connections are made to it.
    pub state: UpstreamState,
    /// How long it has been in this state.
    pub since: Duration,
    /// Why it last failed.
    pub last_error: Option<Arc<str>>,
}

/// A change of the state of an upstream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StateChange {
    /// The name of the upstream.
    pub name: Arc<str>,
    /// The state that it was in.
    pub from: UpstreamState,
    /// The state that it is in.
    pub to: UpstreamState,
    /// Why it last failed.
    pub last_error: Option<Arc<str>>,
}
