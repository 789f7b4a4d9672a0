//! By what a client is recognized.

use crate::client::{ClientKey, ip_of};
use reagent::Connection;
use std::net::IpAddr;
use xxhash_rust::xxh3::xxh3_64;

/// By what [`Balance::Hash`](super::Balance::Hash) recognizes a client. `P2c` does not look at it.
///
/// Equal keys are equal at every instance and in every version of this crate, since they are hashed
/// with XXH3, whose results are fixed by its specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key(Option<u64>);

impl Key {
    /// Returns the key of no client. Such connections are spread by load.
    pub fn none() -> Self {
        Key(None)
    }

    /// Returns the key of these bytes, such as a user name or a server name.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Key(Some(xxh3_64(bytes.as_ref())))
    }

    /// Returns the key of the client of a connection: its IPv4 address or IPv6 /64. Clients without
    /// an IP address, as those of a Unix socket, have no key.
    pub fn client<Io>(conn: &Connection<Io>) -> Self {
        match ip_of(conn).map(|ip| ClientKey::default().of(ip)) {
            Some(IpAddr::V4(ip)) => Key::of(ip.octets()),
            Some(IpAddr::V6(ip)) => Key::of(ip.octets()),
            None => Key::none(),
        }
    }

    pub(super) fn hash(self) -> Option<u64> {
        self.0
    }
}
