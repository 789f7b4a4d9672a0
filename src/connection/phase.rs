//! The phases of a connection.

use std::fmt;

/// The phase that a connection is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// Accepted, but not yet passed to the stack.
    Accepted,
    /// In an [upgrade](crate::Upgrade): a handshake or a header.
    Upgrading,
    /// With its handler, or with a layer that is not an upgrade.
    Handling,
    /// The handler is done, and the stream is held elsewhere: by an HTTP upgrade or another
    /// task.
    Detached,
    /// The connection is over.
    Closed,
}

impl Phase {
    /// Returns the phase as a label: `accepted`, `upgrading`, `handling`, `detached` or `closed`.
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
