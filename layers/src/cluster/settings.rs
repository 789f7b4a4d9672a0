//! The settings of a cluster.

use std::{fmt, str::FromStr, time::Duration};

/// The way in which an instance takes places and tokens from the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Takes what a connection needs when it comes, and gives it back when the connection ends.
    /// Each connection costs a round trip, and no place is held in vain.
    Exact,
    /// Takes some ahead, and keeps what was in use until the next renewal. Most connections cost no
    /// trip, but an instance may hold places that a client lacks at another.
    #[default]
    Quota,
}

/// The policy of an instance while it cannot reach the store. It also decides about clients for
/// whom there is no room in the instance's table.
///
/// Places and tokens that the store has granted are used in any case, until their lease ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// Admits all connections, without a limit.
    Open,
    /// Refuses all connections.
    Closed,
    /// Admits the instance's [`share`](super::share) of the limit.
    #[default]
    Share,
}

/// The error of a name that is not that of a mode or policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName(&'static str);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for UnknownName {}

impl FromStr for Mode {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "exact" => Ok(Mode::Exact),
            "quota" => Ok(Mode::Quota),
            _ => Err(UnknownName("exact or quota")),
        }
    }
}

impl FromStr for Lost {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "open" => Ok(Lost::Open),
            "closed" => Ok(Lost::Closed),
            "share" => Ok(Lost::Share),
            _ => Err(UnknownName("open, closed or share")),
        }
    }
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Mode::Exact => "exact",
            Mode::Quota => "quota",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Lost {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Lost::Open => "open",
            Lost::Closed => "closed",
            Lost::Share => "share",
        }
    }
}

/// What all limits of a cluster have in common.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) lease: Duration,
    pub(super) wait: Duration,
    pub(super) mode: Mode,
    pub(super) lost: Lost,
    pub(super) capacity: usize,
    pub(super) expected: usize,
}

/// The number of clients that each limit remembers at most.
const CAPACITY: usize = 131_072;

impl Settings {
    pub(super) fn new(name: String) -> Self {
        Settings {
            name,
            lease: Duration::from_secs(10),
            wait: Duration::from_millis(20),
            mode: Mode::default(),
            lost: Lost::default(),
            capacity: CAPACITY,
            expected: 0,
        }
    }

    /// The time between two renewals: two of them may fail before the lease ends.
    pub(super) fn renewal(&self) -> Duration {
        self.lease / 3
    }
}
