//! The direction in which bytes go.

/// A direction as the handler sees it. As an index, `Read` is 0 and `Write` is 1.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    #[cfg(feature = "bandwidth")]
    pub(crate) const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];
}
