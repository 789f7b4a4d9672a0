//! Networks and names, as they are written and as clients show themselves.

#[cfg(any(feature = "access", feature = "proxy_protocol"))]
pub(crate) mod cidr;
#[cfg(any(feature = "route", feature = "tls"))]
pub(crate) mod names;
