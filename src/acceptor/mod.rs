//! The acceptors of the pool.

mod backoff;
mod classify;
mod exhaustion;
mod run;

pub(crate) use backoff::Backoff;
pub use classify::ErrorClass;
pub(crate) use exhaustion::Exhaustion;
pub(crate) use run::{Maker, Run};

use crate::Addr;

/// One acceptor of the pool, as a `MakeService` is given it and an [`Observer`](crate::Observer) is told
/// of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Acceptor {
    /// Its number among the acceptors of its address, from 0.
    pub index: usize,
    /// The address whose clients it accepts.
    pub local_addr: Addr,
}
