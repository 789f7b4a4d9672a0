//! The cases that are run through each proxy.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

/// The way in which the first side ends, once it has sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A FIN; with TLS after `close_notify`.
    Fin,
    /// A FIN without `close_notify`.
    Cut,
    /// A reset, once the sender's system has handed everything over.
    Reset,
    /// As `Fin`, and then the other side answers.
    HalfClose,
    /// As `Cut`, and then the other side answers.
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

/// Of the listener and the upstream.
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

/// The end of a stream, as the side that read it saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An orderly one: a FIN, and with TLS `close_notify` before it.
    Fin,
    /// A FIN without the `close_notify` that TLS has.
    Cut,
    Reset,
    /// None in time.
    Never,
}

/// The bytes that one side got.
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

/// The bytes that both sides got; the first gets nothing when it resets.
#[derive(Clone, Copy, Debug)]
pub struct Result {
    pub by_second: Got,
    pub by_first: Option<Got>,
}

pub const FAMILIES: [Family; 3] = [Family::V4, Family::V6, Family::Unix];
pub const FRONTS: [Front; 3] = [Front::Plain, Front::Tls12, Front::Tls13];
const SIZES: [usize; 3] = [1, 64 * 1024, 6_000_000];

/// All cases of a listener, or a subset that has each value of each dimension, and each way to finish with
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
