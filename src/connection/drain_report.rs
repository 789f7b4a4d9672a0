//! The result of a drain.

use super::survivor::{SurvivalReason, Survivor, in_millis};
use std::{fmt, time::Duration};

/// The result of a shutdown. It is displayed as one line, for a log.
///
/// # Example
///
/// ```
/// use reagent::{Connection, Server, SurvivalReason, testing::MemoryListener};
/// use std::{future::pending, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .start(reagent::handle(|conn: Connection| async move {
///         let _open = conn;
///         pending::<std::io::Result<()>>().await
///     }))
///     .await?;
/// let _client = clients.connect().await?;
/// # while server.connection_count() == 0 {
/// #     tokio::task::yield_now().await;
/// # }
///
/// let report = server.drain(Duration::from_secs(10)).await;
/// assert_eq!(
///     report.to_string(),
///     "0 finished, 1 aborted (1 not listening); notified 1, took 10s"
/// );
/// assert_eq!(report.survivors[0].reason, SurvivalReason::NotListening);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The number of connections that were open or queued when the drain began and finished on
    /// their own.
    pub finished: usize,
    /// The number of connections that were aborted at the deadline.
    pub aborted: usize,
    /// The number of connections that are still open: code outside their handlers holds them
    /// without using them, so that nothing can end them, or the runtime was shut down before the
    /// drain was over.
    pub remaining: usize,
    /// The duration of the drain, without the lame duck stage before it.
    pub elapsed: Duration,
    /// The duration of the lame duck stage.
    pub lame_duck: Duration,
    /// The number of connections that were open when the drain began and were then notified.
    ///
    /// It does not include those that ended before their turn, those that had been
    /// [asked to finish](crate::ConnectionHandle::drain) before, and clients that were accepted
    /// from the queue, which are notified as they are accepted.
    pub notified: usize,
    /// When the last of these was notified, counted from the start of the drain.
    pub last_notified_at: Duration,
    /// The connections that were aborted, at most 100: those that are still open first, and then
    /// the oldest. [`survivors_by`](Self::survivors_by) counts all of them.
    pub survivors: Vec<Survivor>,
    pub(crate) reasons: [usize; SurvivalReason::ALL.len()],
}

impl DrainReport {
    /// Returns the number of connections that were aborted and had survived for this reason.
    pub fn survivors_by(&self, reason: SurvivalReason) -> usize {
        self.reasons[reason as usize]
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} finished, {} aborted", self.finished, self.aborted)?;
        let counts = SurvivalReason::ALL.map(|reason| (self.survivors_by(reason), reason));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        for (place, (count, reason)) in counts.enumerate() {
            let before = if place == 0 { " (" } else { ", " };
            write!(f, "{before}{count} {reason}")?;
        }
        if self.reasons.iter().any(|count| *count > 0) {
            f.write_str(")")?;
        }
        if self.remaining > 0 {
            write!(f, ", {} still open", self.remaining)?;
        }
        write!(f, "; notified {}", self.notified)?;
        if !self.last_notified_at.is_zero() {
            write!(f, " within {:?}", in_millis(self.last_notified_at))?;
        }
        write!(f, ", took {:?}", in_millis(self.elapsed))?;
        if !self.lame_duck.is_zero() {
            let lame_duck = in_millis(self.lame_duck);
            write!(f, " after {lame_duck:?} as a lame duck")?;
        }
        Ok(())
    }
}
