//! One connection to make.

use super::Target;
use std::{fmt, net::SocketAddr};

/// A connection to make: where to, and the bytes that it begins with. A [`Target`] alone converts
/// to it.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct ConnectRequest {
    pub(super) target: Target,
    pub(super) preface: Vec<u8>,
}

impl ConnectRequest {
    /// Creates a request for a connection to `target`.
    pub fn new(target: impl Into<Target>) -> Self {
        ConnectRequest {
            target: target.into(),
            preface: Vec::new(),
        }
    }

    /// Sets the bytes that are sent first, before TLS: usually an encoded
    /// [PROXY header](super#proxy-headers).
    pub fn preface(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.preface = bytes.into();
        self
    }

    /// Returns where to connect to.
    pub fn target(&self) -> &Target {
        &self.target
    }
}

impl From<Target> for ConnectRequest {
    fn from(target: Target) -> Self {
        ConnectRequest::new(target)
    }
}

impl From<SocketAddr> for ConnectRequest {
    fn from(addr: SocketAddr) -> Self {
        ConnectRequest::new(addr)
    }
}

/// Shows only the length of the preface, which may name a client.
impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("target", &self.target)
            .field("preface", &self.preface.len())
            .finish()
    }
}
