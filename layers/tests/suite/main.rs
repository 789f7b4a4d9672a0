//! One module a layer; everything through real sockets or `MemoryListener`.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod support;

#[cfg(feature = "access")]
mod access;

#[cfg(feature = "limit")]
mod limit;
#[cfg(feature = "timeout")]
mod timeout;
#[cfg(feature = "tls")]
mod tls;
