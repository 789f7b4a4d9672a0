//! The acceptors of the pool.

mod accept_loop;
mod backoff;
mod exhaustion;
mod recovery;

pub(crate) use accept_loop::{AcceptLoop, Maker};
pub(crate) use backoff::Backoff;
pub(crate) use exhaustion::Exhaustion;

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
