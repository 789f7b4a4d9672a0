//! The stages of a shutdown, as the user requests them.

use std::time::Duration;

/// The stages of a shutdown, for [`ServerHandle::shutdown`](crate::ServerHandle::shutdown).
///
/// ```text
///  request            drain starts                        deadline
///     │    lame_duck      │     spread     │                  │
///     ├───────────────────┼────────────────┼──────────────────┤
///     │ clients accepted, │ connections    │ connections      │ the rest
///     │ `Readiness` is no │ are notified   │ finish           │ is aborted
/// ```
///
/// The guide on [shutdown](crate::guide::shutdown) explains how to choose the times.
///
/// # Example
///
/// ```
/// use reagent::Shutdown;
/// use std::time::Duration;
///
/// let shutdown = Shutdown::new(Duration::from_secs(20))
///     .lame_duck(Duration::from_secs(5))
///     .spread(Duration::from_secs(10));
/// assert_eq!(shutdown.deadline, Duration::from_secs(20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Shutdown {
    /// The time that connections have to finish, counted from the start of the drain, which is the
    /// end of the lame duck stage. Connections that are left are aborted.
    pub deadline: Duration,
    /// The time before the drain during which clients are still accepted and served, while
    /// [`Readiness`](crate::Readiness) reports that the server is not ready.
    pub lame_duck: Duration,
    /// The time over which connections are notified, counted from the start of the drain. It is cut
    /// to the deadline.
    pub spread: Duration,
}

impl Shutdown {
    /// Creates a shutdown that starts to drain at once, notifies every connection at once, and
    /// aborts what is left after `deadline`.
    ///
    /// With [`Duration::MAX`], no connection is aborted.
    pub const fn new(deadline: Duration) -> Self {
        Shutdown {
            deadline,
            lame_duck: Duration::ZERO,
            spread: Duration::ZERO,
        }
    }

    /// Sets how long the server goes on accepting before it drains.
    ///
    /// Load balancers need this time to notice that the server is no longer ready. With
    /// [`Duration::MAX`], the drain starts when another call of
    /// [`shutdown`](crate::ServerHandle::shutdown) or [`drain`](crate::ServerHandle::drain) asks
    /// for it.
    pub const fn lame_duck(mut self, time: Duration) -> Self {
        self.lame_duck = time;
        self
    }

    /// Sets the time over which connections are notified, in even steps and oldest first.
    ///
    /// Clients that reconnect when they are disconnected then do so one after the other. The oldest
    /// connections come first because they are the long-lived ones: they need most of the time that
    /// is left until the deadline, whereas a young connection often ends before its turn.
    pub const fn spread(mut self, time: Duration) -> Self {
        self.spread = time;
        self
    }
}
