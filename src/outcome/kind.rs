//! The kinds of outcomes, as labels and as indices.

use std::fmt;

/// The kind of an [`Outcome`](crate::Outcome), without its details, for labels, metrics and
/// counters.
///
/// # Example
///
/// ```
/// use reagent::{Outcome, OutcomeKind};
///
/// assert_eq!(Outcome::Completed.kind(), OutcomeKind::Completed);
/// assert_eq!(OutcomeKind::TimedOut.to_string(), "timed_out");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutcomeKind {
    /// The kind of [`Outcome::Completed`](crate::Outcome::Completed).
    Completed,
    /// The kind of [`Outcome::Failed`](crate::Outcome::Failed).
    Failed,
    /// The kind of [`Outcome::Disconnected`](crate::Outcome::Disconnected).
    Disconnected,
    /// The kind of [`Outcome::Rejected`](crate::Outcome::Rejected).
    Rejected,
    /// The kind of [`Outcome::TimedOut`](crate::Outcome::TimedOut).
    TimedOut,
    /// The kind of [`Outcome::Drained`](crate::Outcome::Drained).
    Drained,
    /// The kind of [`Outcome::Aborted`](crate::Outcome::Aborted).
    Aborted,
    /// The kind of [`Outcome::Panicked`](crate::Outcome::Panicked).
    Panicked,
}

impl OutcomeKind {
    /// All kinds, in the order of [`index`](Self::index).
    pub const ALL: [OutcomeKind; 8] = [
        OutcomeKind::Completed,
        OutcomeKind::Failed,
        OutcomeKind::Disconnected,
        OutcomeKind::Rejected,
        OutcomeKind::TimedOut,
        OutcomeKind::Drained,
        OutcomeKind::Aborted,
        OutcomeKind::Panicked,
    ];

    /// Returns the kind as a label: `completed`, `failed`, `disconnected`, `rejected`, `timed_out`,
    /// `drained`, `aborted` or `panicked`.
    pub const fn as_str(self) -> &'static str {
        match self {
            OutcomeKind::Completed => "completed",
            OutcomeKind::Failed => "failed",
            OutcomeKind::Disconnected => "disconnected",
            OutcomeKind::Rejected => "rejected",
            OutcomeKind::TimedOut => "timed_out",
            OutcomeKind::Drained => "drained",
            OutcomeKind::Aborted => "aborted",
            OutcomeKind::Panicked => "panicked",
        }
    }

    /// Returns the position of the kind in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
