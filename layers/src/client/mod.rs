//! The identity of clients, and what is remembered about each.

#[cfg(any(feature = "bandwidth", feature = "cluster", feature = "limit"))]
pub(crate) mod bucket;
mod key;
#[cfg(any(
    feature = "bandwidth",
    feature = "cluster",
    feature = "limit",
    feature = "score"
))]
mod map;

pub(crate) use key::ClientKey;
#[cfg(any(
    feature = "bandwidth",
    feature = "cluster",
    feature = "limit",
    feature = "upstream"
))]
pub(crate) use key::ip_of;
#[cfg(feature = "access")]
pub(crate) use key::ip_of_handle;
#[cfg(any(
    feature = "bandwidth",
    feature = "cluster",
    feature = "limit",
    feature = "score"
))]
pub(crate) use map::BoundedMap;

/// The default number of clients that a layer remembers at most.
#[cfg(any(feature = "access", feature = "bandwidth", feature = "limit"))]
pub(crate) const CAPACITY: usize = 65_536;
