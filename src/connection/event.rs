//! What observers are told beside connections.

use crate::Addr;
use std::time::Duration;

/// One acceptor of the pool, as a `MakeService` and an [`Observer`](crate::Observer) get to see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Acceptor {
    /// Its number among the acceptors of its address, from 0.
    pub index: usize,
    /// The address whose clients it accepts.
    pub local_addr: Addr,
}

/// How a drain went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that were open or in the queue when it began and finished by themselves.
    pub finished: usize,
    /// Connections that were aborted at the deadline.
    pub aborted: usize,
    /// Connections that are open still: somebody outside their handler holds them and does not use them, so
    /// that nothing can end them; or the runtime was shut down before the drain was over.
    pub remaining: usize,
    /// How long it took.
    pub elapsed: Duration,
}
