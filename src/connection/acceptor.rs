//! One acceptor of a pool.

use crate::addr::Addr;

/// One acceptor of the pool, as a `MakeService` and an [`Observer`](crate::Observer) see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Acceptor {
    /// The number of the acceptor among those of its address, from 0.
    pub index: usize,
    /// The address whose clients it accepts.
    pub local_addr: Addr,
}
