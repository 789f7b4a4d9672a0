//! The kinds of outcomes, as labels and indices.

use std::fmt;

/// The kind of an [`Outcome`](crate::Outcome), without its details: what labels, metrics and
/// counters are keyed by.
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
    /// [`Outcome::Completed`](crate::Outcome::Completed).
    Completed,
    /// [`Outcome::Failed`](crate::Outcome::Failed).
    Failed,
    /// [`Outcome::Disconnected`](crate::Outcome::Disconnected).
    Disconnected,
    /// [`Outcome::Rejected`](crate::Outcome::Rejected).
    Rejected,
    /// [`Outcome::TimedOut`](crate::Outcome::TimedOut).
    TimedOut,
    /// [`Outcome::Drained`](crate::Outcome::Drained).
    Drained,
    /// [`Outcome::Aborted`](crate::Outcome::Aborted).
    Aborted,
    /// [`Outcome::Panicked`](crate::Outcome::Panicked).
    Panicked,
}

impl OutcomeKind {
    /// Every kind, in the order of [`index`](Self::index).
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

    /// Returns one word for each kind, as a label: `completed`, `failed`, `disconnected`,
    /// `rejected`, `timed_out`, `drained`, `aborted`, `panicked`.
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
