//! The cases that are run through each proxy.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

/// The end of the first side, after it has sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A FIN, with TLS after `close_notify`.
    Fin,
    /// A FIN without `close_notify`.
    Cut,
    /// A reset, after the kernel has delivered everything.
    Reset,
    /// Like `Fin`, and then the other side replies.
    HalfClose,
    /// Like `Cut`, and then the other side replies.
    HalfCut,
}

impl Finish {
    pub fn is_answered(self) -> bool {
        matches!(self, Finish::HalfClose | Finish::HalfCut)
    }
}

/// The protocol of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    Plain,
    Tls12,
    Tls13,
}

/// The address family of the listener and the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    Unix,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub first: Side,
    pub finish: Finish,
    pub is_slow: bool,
    pub size: usize,
}

/// The end of a stream as seen by its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An orderly end: a FIN, with TLS after `close_notify`.
    Fin,
    /// With TLS, a FIN without `close_notify`.
    Cut,
    Reset,
    /// No end in time.
    Never,
}

/// The bytes received by one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Got {
    pub bytes: usize,
    pub is_intact: bool,
    pub ending: Ending,
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let damaged = if self.is_intact { "" } else { " damaged" };
        write!(f, "{} bytes{damaged}, {:?}", self.bytes, self.ending)
    }
}

/// The bytes received by both sides. The first side receives nothing if it resets.
#[derive(Clone, Copy, Debug)]
pub struct Result {
    pub by_second: Got,
    pub by_first: Option<Got>,
}

pub const FAMILIES: [Family; 3] = [Family::V4, Family::V6, Family::Unix];
pub const FRONTS: [Front; 3] = [Front::Plain, Front::Tls12, Front::Tls13];
const SIZES: [usize; 3] = [1, 64 * 1024, 6_000_000];

/// Returns all cases of a listener, or a subset with each value of each dimension and each end with
/// each front.
pub fn cases(family: Family, front: Front, is_full: bool) -> Vec<Case> {
    let chosen: &[(usize, bool)] = match family {
        _ if is_full => &[
            (0, false),
            (0, true),
            (1, false),
            (1, true),
            (2, false),
            (2, true),
        ],
        Family::V4 => &[(2, true)],
        Family::V6 => &[(1, true)],
        Family::Unix => &[(0, false), (2, false)],
    };
    let mut finishes = vec![
        (Side::Client, Finish::Fin),
        (Side::Client, Finish::Reset),
        (Side::Client, Finish::HalfClose),
        (Side::Upstream, Finish::Fin),
        (Side::Upstream, Finish::Reset),
        (Side::Upstream, Finish::HalfClose),
    ];
    if front != Front::Plain {
        finishes.push((Side::Client, Finish::Cut));
        finishes.push((Side::Client, Finish::HalfCut));
    }
    let case = |(first, finish), &(size, is_slow): &(usize, bool)| Case {
        first,
        finish,
        is_slow,
        size: SIZES[size],
    };
    chosen
        .iter()
        .flat_map(|chosen| finishes.iter().map(move |finish| case(*finish, chosen)))
        .collect()
}
