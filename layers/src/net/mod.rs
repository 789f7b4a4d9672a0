//! IP networks and host names, in configuration and from clients.

#[cfg(any(feature = "access", feature = "proxy_protocol"))]
mod cidr;
#[cfg(any(feature = "connect", feature = "route", feature = "tls_no_provider"))]
pub(crate) mod host_name;
#[cfg(any(feature = "connect", feature = "upstream"))]
pub(crate) mod local;
#[cfg(any(feature = "route", feature = "tls_no_provider"))]
pub(crate) mod names;

#[cfg(feature = "access")]
pub(crate) use cidr::canonical;
#[cfg(any(feature = "access", feature = "proxy_protocol"))]
pub use cidr::{InvalidNetwork, Network};

/// The connection preface of an HTTP/2 client (RFC 9113, section 3.4).
#[cfg(any(feature = "http", feature = "sniff"))]
pub(crate) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
