//! A connection that did not finish in a drain.

use super::ConnectionInfo;
use std::{fmt, time::Duration};

/// A connection that was still open at the deadline of a drain, and was aborted. Part of a
/// [`DrainReport`](crate::DrainReport).
///
/// It is displayed as one line, for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survivor {
    /// The connection. Its `phase` is the one at the deadline; everything else is from the end of
    /// the drain.
    pub connection: ConnectionInfo,
    /// When the connection was notified, counted from the start of the drain; `None` if the drain
    /// ended before its turn. It is zero if the connection had been
    /// [asked to finish](crate::ConnectionHandle::drain) before.
    pub notified_at: Option<Duration>,
    /// Whether any code has looked at the notification: a [`draining`] future has resolved, or
    /// `is_draining` has returned true.
    ///
    /// [`draining`]: crate::Connection::draining
    pub has_listened: bool,
    /// Whether the connection is still open, although it was aborted.
    pub is_open: bool,
    /// Why the connection had not ended by the deadline or, if it is still open, why the abort had
    /// no effect.
    pub reason: SurvivalReason,
}

/// The reason why a connection has survived a drain, as far as the server can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SurvivalReason {
    /// It had no time: it was not notified, or less than 100 ms before it was aborted.
    ///
    /// The server was aborted, the deadline was brought forward, or `spread` is as long as the
    /// deadline.
    NotifiedLate,
    /// It was being opened: an [upgrade](crate::Upgrade) such as a TLS handshake was under way, and
    /// the client did not complete it.
    Opening,
    /// It was notified, but its handler has not looked at the notification: the handler does not
    /// listen, or was busy with something during which it does not.
    NotListening,
    /// Its handler knew of the drain, and was not done in time.
    Unfinished,
    /// Its handler was done, and its stream is held elsewhere: by an HTTP upgrade such as a
    /// WebSocket, or by another task. If it is still open, the holder neither reads nor writes, so
    /// that it does not notice the abort.
    Detached,
    /// It is still open, because its task has not been polled within a second of the abort: the
    /// thread is blocked, or the runtime of the task does not run.
    Blocked,
}

impl SurvivalReason {
    /// All reasons.
    pub const ALL: [SurvivalReason; 6] = [
        SurvivalReason::NotifiedLate,
        SurvivalReason::Opening,
        SurvivalReason::NotListening,
        SurvivalReason::Unfinished,
        SurvivalReason::Detached,
        SurvivalReason::Blocked,
    ];

    /// Returns the reason as a label: `notified_late`, `opening`, `not_listening`, `unfinished`,
    /// `detached` or `blocked`.
    pub const fn as_str(self) -> &'static str {
        match self {
            SurvivalReason::NotifiedLate => "notified_late",
            SurvivalReason::Opening => "opening",
            SurvivalReason::NotListening => "not_listening",
            SurvivalReason::Unfinished => "unfinished",
            SurvivalReason::Detached => "detached",
            SurvivalReason::Blocked => "blocked",
        }
    }
}

impl fmt::Display for SurvivalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SurvivalReason::NotifiedLate => "notified too late",
            SurvivalReason::Opening => "still being opened",
            SurvivalReason::NotListening => "not listening",
            SurvivalReason::Unfinished => "not done",
            SurvivalReason::Detached => "held outside the handler",
            SurvivalReason::Blocked => "thread blocked",
        })
    }
}

impl fmt::Display for Survivor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = &self.connection;
        write!(
            f,
            "connection {} from {}, accepted {:?} ago, {}, ",
            connection.id,
            connection.peer_addr,
            in_millis(connection.age),
            connection.phase
        )?;
        match self.notified_at {
            Some(at) => write!(f, "notified at {:?}", in_millis(at))?,
            None => f.write_str("not notified")?,
        }
        let end = if self.is_open {
            "still open"
        } else {
            "aborted"
        };
        write!(f, ", {end}: {}", self.reason)
    }
}

/// Cuts off what nobody reads.
pub(super) fn in_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
