//! What a header said, for handlers.

use super::Header;
use std::ops::Deref;

/// The header that a connection began with: in its extensions, and to be asked whatever a [`Header`] can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyInfo(pub(super) Header);

impl Deref for ProxyInfo {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.0
    }
}
