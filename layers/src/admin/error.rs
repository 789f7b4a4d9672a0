//! The error of an address that is not safe.

use reagent::Addr;
use std::{error::Error, fmt};

/// The error of an address that other machines can reach although no token is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsecureAddr {
    pub(super) addr: Addr,
}

impl fmt::Display for InsecureAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the admin page at {} can be reached from other machines: set a token, or listen on a \
             loopback address or a Unix socket",
            self.addr
        )
    }
}

impl Error for InsecureAddr {}
