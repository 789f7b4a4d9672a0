//! A limit on how many of something may exist at once. It is exact and fair, and can be changed at
//! any time.
//!
//! A server limits its connections with one; layers use others.
//!
//! ```
//! use reagent::Limit;
//!
//! let limit = Limit::new(1);
//! let permit = limit.try_acquire();
//! assert!(permit.is_some() && limit.try_acquire().is_none());
//! drop(permit);
//! assert!(limit.try_acquire().is_some());
//! ```

mod acquire;
mod counts;
mod permit;
mod permits;
#[cfg(not(loom))]
mod places;
mod queue;
mod state;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(all(test, not(loom)))]
mod tree_tests;
mod wakes;

pub use acquire::Acquire;
pub use permit::Permit;
#[cfg(not(loom))]
pub(crate) use places::{AcquirePlace, Admission, Place, Places, Reserve};

use crate::sync::Arc;
use permits::Share;
use state::Shared;
use std::{fmt, iter};
use wakes::Wakes;

/// A counting semaphore whose size can be changed, even to less than what is in use. Clones share
/// the same limit.
///
/// Permits are granted in order: one that becomes free goes to the first waiter, and nothing can
/// overtake it. The maximum is never exceeded, except when it is lowered to less than what is in
/// use.
///
/// Limits form a tree: a permit of a [child](Self::child) is also one of its parent.
///
/// Without a maximum, nothing waits, and permits are counted without a lock: when threads compete,
/// each gets its own counter. The count is exact nevertheless, even if a maximum is set later.
/// Threads then still share the reference count that every [`Permit`] holds.
///
/// # Example
///
/// Two servers that share one limit:
///
/// ```
/// use reagent::{Connection, Limit, Server};
/// use tokio::{
///     io::{AsyncReadExt, AsyncWriteExt},
///     net::TcpStream,
/// };
///
/// async fn greet(mut conn: Connection) -> std::io::Result<()> {
///     conn.write_all(b"hello").await?;
///     // Until the client closes the connection.
///     conn.read(&mut [0]).await?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let limit = Limit::new(1);
/// let server = || Server::bind("127.0.0.1:0").limit(limit.clone());
/// let public = server().start(reagent::handle(greet)).await?;
/// let admin = server().start(reagent::handle(greet)).await?;
///
/// let mut first = TcpStream::connect(public.local_addr().to_string()).await?;
/// first.read_exact(&mut [0; 5]).await?;
/// assert_eq!(limit.taken(), 1);
///
/// // The other server accepts its client only when the first one has left.
/// let mut second = TcpStream::connect(admin.local_addr().to_string()).await?;
/// assert_eq!(admin.connection_count(), 0);
/// drop(first);
/// second.read_exact(&mut [0; 5]).await?;
/// assert_eq!(limit.taken(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Limit(Arc<Shared>);

impl Limit {
    /// Creates a limit of `max` permits; `usize::MAX` means [no limit](Self::unlimited).
    pub fn new(max: usize) -> Self {
        Limit(Arc::new(Shared::new(max)))
    }

    /// Creates a limit without a maximum, to count permits or to set a maximum later.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Creates a limit of `max` permits within this one: each permit of the child is also one of
    /// its parent, of the parent's parent, and so on. All of them are taken together or not at all.
    ///
    /// So a limit for each of several groups stays within the limit of all, exactly. Children are
    /// independent of each other, and their maxima may add up to more than that of the parent.
    ///
    /// A task that [waits](Self::acquire) takes the permits one after the other, from the child to
    /// the root: while it waits for the parent, its permit counts as [taken](Self::taken) in the
    /// child.
    ///
    /// # Example
    ///
    /// ```
    /// let server = reagent::Limit::new(3);
    /// let (tenant, other) = (server.child(2), server.child(2));
    ///
    /// let _held = [tenant.try_acquire(), tenant.try_acquire()];
    /// assert!(tenant.try_acquire().is_none());
    /// let _last = other.try_acquire();
    /// assert!(other.try_acquire().is_none());
    /// assert_eq!((server.taken(), tenant.taken(), other.taken()), (3, 2, 1));
    /// ```
    pub fn child(&self, max: usize) -> Self {
        let parent = self.clone();
        Limit(Arc::new(Shared::child(max, parent, Share::General)))
    }

    /// Creates a child that uses the reserved permits of this limit.
    #[cfg(not(loom))]
    fn reserved_child(&self, max: usize) -> Self {
        let parent = self.clone();
        Limit(Arc::new(Shared::child(max, parent, Share::Reserved)))
    }

    /// Returns whether a permit of this limit is also one of `ancestor`.
    #[cfg(not(loom))]
    pub(crate) fn is_within(&self, ancestor: &Limit) -> bool {
        self.path().any(|limit| Arc::ptr_eq(&limit.0, &ancestor.0))
    }

    /// Returns this limit and all above it.
    fn path(&self) -> impl Iterator<Item = &Limit> {
        iter::successors(Some(self), |limit| Some(limit.0.parent()?.0))
    }

    /// Returns the maximum; `usize::MAX` means no maximum.
    pub fn max(&self) -> usize {
        self.0.max()
    }

    /// Returns the number of permits in use. Without a maximum, it is a snapshot that may miss
    /// permits taken or returned during the call.
    pub fn taken(&self) -> usize {
        self.0.taken()
    }

    /// Returns the number of tasks that wait for a permit.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// Sets the maximum; `None` and `usize::MAX` remove it.
    ///
    /// If there is room now, waiting tasks are admitted at once. If more than `max` permits are in
    /// use, nothing is admitted until enough of them have been dropped.
    ///
    /// # Example
    ///
    /// ```
    /// # let limit = reagent::Limit::new(0);
    /// assert!(limit.try_acquire().is_none());
    /// limit.set_max(10);
    /// assert!(limit.try_acquire().is_some());
    /// limit.set_max(None);
    /// assert_eq!(limit.max(), usize::MAX);
    /// ```
    pub fn set_max(&self, max: impl Into<Option<usize>>) {
        self.0.set_max(max.into().unwrap_or(usize::MAX));
    }

    /// Takes a permit if one is free and no task waits for it; otherwise returns `None`.
    #[must_use = "a permit that is dropped is given back at once"]
    pub fn try_acquire(&self) -> Option<Permit> {
        self.take().then(|| Permit::new(self.clone()))
    }

    fn take(&self) -> bool {
        let taken = self.0.take_freely();
        taken.unwrap_or_else(|| self.0.take(Share::General, &mut Wakes::default()))
    }

    fn release(&self) {
        if !self.0.release_freely() {
            let mut wakes = Wakes::default();
            self.0.release(Share::General, None, &mut wakes);
        }
    }

    /// Waits for a permit. Waiters are served in the order in which they were first polled.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no permit is lost. Dropping the future gives up its place in the queue.
    pub fn acquire(&self) -> Acquire {
        Acquire::new(self.clone())
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("max", &self.max())
            .field("taken", &self.taken())
            .field("waiting", &self.waiting())
            .finish()
    }
}
