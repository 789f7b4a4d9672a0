//! Which way bytes go.

/// A direction, seen from the handler; as an index, that of its reads is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    #[cfg(feature = "bandwidth")]
    pub(crate) const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];
}
