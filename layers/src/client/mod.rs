//! The identity of clients, and what is remembered about each.

#[cfg(any(feature = "bandwidth", feature = "cluster", feature = "limit"))]
pub(crate) mod bucket;
mod key;
#[cfg(any(feature = "bandwidth", feature = "cluster", feature = "limit"))]
mod map;

pub(crate) use key::{ClientKey, ip_of};
#[cfg(any(feature = "bandwidth", feature = "cluster", feature = "limit"))]
pub(crate) use map::BoundedMap;

/// The default number of clients that a layer remembers at most.
#[cfg(any(feature = "access", feature = "bandwidth", feature = "limit"))]
pub(crate) const CAPACITY: usize = 65_536;
