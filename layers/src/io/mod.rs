//! Stream wrappers and helpers that layers are built from, without any policy.

#[cfg(any(feature = "proxy_protocol", feature = "sniff"))]
mod ahead;
#[cfg(any(feature = "framed", feature = "relay"))]
pub(crate) mod buffers;
#[cfg(any(feature = "bandwidth", feature = "fault"))]
mod direction;
#[cfg(feature = "relay")]
mod plain_socket;
#[cfg(feature = "relay")]
mod resettable;
#[cfg(any(feature = "bandwidth", feature = "fault"))]
pub(crate) mod vectored;

#[cfg(any(feature = "proxy_protocol", feature = "sniff"))]
pub(crate) use ahead::read_ahead;
#[cfg(any(feature = "bandwidth", feature = "fault"))]
pub(crate) use direction::Direction;
#[cfg(feature = "relay")]
pub use plain_socket::PlainSocket;
#[cfg(all(feature = "connect", feature = "relay"))]
pub(crate) use resettable::Borrowed;
#[cfg(feature = "relay")]
pub use resettable::Resettable;
