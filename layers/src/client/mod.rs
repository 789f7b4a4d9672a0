//! Clients: what makes one, and what is remembered of each.

#[cfg(any(feature = "bandwidth", feature = "limit"))]
pub(crate) mod bucket;
mod key;
mod map;

pub(crate) use key::{ClientKey, ip_of};
#[cfg(any(feature = "bandwidth", feature = "limit"))]
pub(crate) use map::BoundedMap;
pub(crate) use map::CAPACITY;
