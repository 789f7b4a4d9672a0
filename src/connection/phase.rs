//! How far a connection has come.

use std::fmt;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// Accepted, and not yet with a handler.
    Accepted,
    /// In a layer that turns it into another connection: a handshake, a header.
    Upgrading,
    /// With its handler.
    Handling,
    /// Its handler is done, and something else holds the stream: an HTTP upgrade, another task.
    Detached,
    /// Over.
    Closed,
}

impl Phase {
    /// Returns one word for each, as a label: `accepted`, `upgrading`, `handling`, `detached`,
    /// `closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Accepted => "accepted",
            Phase::Upgrading => "upgrading",
            Phase::Handling => "handling",
            Phase::Detached => "detached",
            Phase::Closed => "closed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(super) const PHASES: [Phase; 5] = [
    Phase::Accepted,
    Phase::Upgrading,
    Phase::Handling,
    Phase::Detached,
    Phase::Closed,
];
