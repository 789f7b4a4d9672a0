//! The received header, for handlers.

use super::Header;
use std::ops::Deref;

/// The header that a connection began with, left in the connection's extensions. It dereferences to
/// a [`Header`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyInfo(pub(super) Header);

impl Deref for ProxyInfo {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.0
    }
}
