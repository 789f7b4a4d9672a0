//! The user's hook that sets up a socket before it is bound.

use socket2::SockRef;
use std::{fmt, io, sync::Arc};

type SetUp = dyn Fn(&SockRef<'_>) -> io::Result<()> + Send + Sync;

/// A function that sets up a socket. Two hooks are equal if they are the same function.
#[derive(Clone)]
pub(super) struct Hook(pub(super) Arc<SetUp>);

impl PartialEq for Hook {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Hook {}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
