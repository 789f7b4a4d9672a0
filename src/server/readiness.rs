//! Whether clients should be sent to a server.

use super::{ServerHandle, ServerStatus, handle::status};
use crate::pool::{Control, Pool};
use std::{fmt, sync::Arc};
use tokio::sync::watch;

impl ServerHandle {
    /// Returns the readiness of the server: whether load balancers should send clients to it.
    pub fn readiness(&self) -> Readiness {
        let control = self.pool.control.subscribe();
        let seen = is_ready(&control.borrow());
        Readiness {
            pool: self.pool.clone(),
            control,
            seen,
        }
    }
}

/// Reports whether load balancers should send clients to a server. It comes from
/// [`ServerHandle::readiness`], and is cheap to clone.
///
/// A server is ready while its status is [`Running`](ServerStatus::Running) and nothing
/// [holds](Self::hold) its readiness back. A paused server is not ready, since clients would wait
/// in its queue. Pausing a single listener makes no difference. A server at `max_connections` is
/// ready: the wait is usually short, and a load balancer that takes away a busy server moves its
/// load to others.
///
/// `reagent_layers::health` answers health checks with it.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// # let server = reagent::Server::bind("127.0.0.1:0")
/// #     .start(reagent::handle(async |_: reagent::Connection| std::io::Result::Ok(())))
/// #     .await?;
/// let mut readiness = server.readiness();
/// assert!(readiness.is_ready());
///
/// // Something that the server depends on is away.
/// let hold = readiness.hold("no database");
/// assert!(!readiness.changed().await);
/// assert_eq!(readiness.reason().as_deref(), Some("no database"));
///
/// drop(hold);
/// assert!(readiness.changed().await);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Readiness {
    pool: Arc<Pool>,
    control: watch::Receiver<Control>,
    /// What `changed` returned last.
    seen: bool,
}

impl Readiness {
    /// Returns whether the server is ready.
    pub fn is_ready(&self) -> bool {
        is_ready(&self.control.borrow())
    }

    /// Returns why the server is not ready, or `None` if it is: the label of its status, or the
    /// reason of the oldest [hold](Self::hold).
    pub fn reason(&self) -> Option<Arc<str>> {
        let control = self.control.borrow();
        match status(&control) {
            ServerStatus::Running => control.holds.first().cloned(),
            status => Some(status.as_str().into()),
        }
    }

    /// Returns the status of the server.
    pub fn status(&self) -> ServerStatus {
        status(&self.control.borrow())
    }

    /// Waits until the readiness differs from what it was when this value was made or this method
    /// last returned, and returns the new one.
    ///
    /// A server that has stopped is never ready again, and this method then waits forever.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a change is not lost, and the next call returns it.
    pub async fn changed(&mut self) -> bool {
        let seen = self.seen;
        // The sender is in the pool, so it is there.
        if self
            .control
            .wait_for(|control| is_ready(control) != seen)
            .await
            .is_ok()
        {
            self.seen = !seen;
        }
        self.seen
    }

    /// Makes the server report that it is not ready, for the given reason, until the returned value
    /// is dropped. Clients that come nevertheless are served.
    ///
    /// Use it while the server is under pressure, or while something it depends on is away. Several
    /// parts of a program can hold the readiness back, each for its own reason.
    pub fn hold(&self, reason: impl Into<Arc<str>>) -> ReadinessHold {
        let reason = reason.into();
        let hold = reason.clone();
        self.pool
            .control
            .send_modify(|control| control.holds.push(hold));
        ReadinessHold {
            pool: self.pool.clone(),
            reason,
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("status", &self.status())
            .field("reason", &self.reason())
            .finish()
    }
}

fn is_ready(control: &Control) -> bool {
    status(control) == ServerStatus::Running && control.holds.is_empty()
}

/// Holds the [`Readiness`] of a server back until it is dropped.
#[must_use = "the hold ends when this is dropped"]
pub struct ReadinessHold {
    pool: Arc<Pool>,
    reason: Arc<str>,
}

impl Drop for ReadinessHold {
    fn drop(&mut self) {
        self.pool.control.send_modify(|control| {
            let holds = &mut control.holds;
            // The same reason may be there twice.
            if let Some(own) = holds
                .iter()
                .position(|hold| Arc::ptr_eq(hold, &self.reason))
            {
                holds.remove(own);
            }
        });
    }
}

impl fmt::Debug for ReadinessHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadinessHold").field(&self.reason).finish()
    }
}
