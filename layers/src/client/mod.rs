//! Clients: what makes one, and what is remembered of each.

#[cfg(any(feature = "bandwidth", feature = "limit"))]
pub(crate) mod bucket;
mod key;
#[cfg(any(feature = "bandwidth", feature = "limit"))]
mod map;

pub(crate) use key::{ClientKey, ip_of};
#[cfg(any(feature = "bandwidth", feature = "limit"))]
pub(crate) use map::BoundedMap;

/// The most clients that a layer remembers by default.
pub(crate) const CAPACITY: usize = 65_536;
