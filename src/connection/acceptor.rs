//! The description of one acceptor.

use crate::addr::Addr;

/// One acceptor of a server, as a `MakeService` and an [`Observer`](crate::Observer) receive it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Acceptor {
    /// The number of the acceptor among those of its address, starting at 0.
    pub index: usize,
    /// The address that it accepts clients on.
    pub local_addr: Addr,
}
