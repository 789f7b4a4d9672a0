//! The identity of a client.

#[cfg(any(
    feature = "bandwidth",
    feature = "cluster",
    feature = "limit",
    feature = "upstream"
))]
use reagent::Connection;
#[cfg(any(
    feature = "access",
    feature = "bandwidth",
    feature = "cluster",
    feature = "limit",
    feature = "upstream"
))]
use reagent::ConnectionHandle;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

/// Returns the IP address by which a connection is judged: the client's, or else that of the
/// socket.
///
/// If a proxy reports a client without an IP address (one that connected to it over a Unix socket,
/// or whose address it does not know), the proxy itself is judged. Only a connection whose socket
/// has no IP address either is local, and has passed the permissions of a file.
#[cfg(any(
    feature = "bandwidth",
    feature = "cluster",
    feature = "limit",
    feature = "upstream"
))]
pub(crate) fn ip_of<Io>(conn: &Connection<Io>) -> Option<IpAddr> {
    ip_of_handle(conn.as_ref())
}

/// Does the same for a handle.
#[cfg(any(
    feature = "access",
    feature = "bandwidth",
    feature = "cluster",
    feature = "limit",
    feature = "upstream"
))]
pub(crate) fn ip_of_handle(connection: &ConnectionHandle) -> Option<IpAddr> {
    let peer = connection.peer_addr().ip();
    peer.or_else(|| connection.socket_addr().ip())
}

/// The number of leading bits of an address that identify a client. An IPv6 client usually has a
/// whole /64 (RFC 6177), so a limit by single addresses would limit nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientKey {
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

impl Default for ClientKey {
    fn default() -> Self {
        ClientKey { v4: 32, v6: 64 }
    }
}

impl ClientKey {
    /// Returns the client of an address. An IPv4-mapped one (`::ffff:192.0.2.1`) is an IPv4 client.
    pub(crate) fn of(self, ip: IpAddr) -> IpAddr {
        *self.range(ip).start()
    }

    /// Returns the addresses of the client that an address belongs to.
    pub(crate) fn range(self, ip: IpAddr) -> RangeInclusive<IpAddr> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let (ip, host) = (
                    u32::from(ip),
                    u32::MAX.checked_shr(self.v4.into()).unwrap_or(0),
                );
                Ipv4Addr::from(ip & !host).into()..=Ipv4Addr::from(ip | host).into()
            }
            IpAddr::V6(ip) => {
                let (ip, host) = (
                    u128::from(ip),
                    u128::MAX.checked_shr(self.v6.into()).unwrap_or(0),
                );
                Ipv6Addr::from(ip & !host).into()..=Ipv6Addr::from(ip | host).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prefixes: ClientKey, ip: &str) -> String {
        prefixes.of(ip.parse().unwrap()).to_string()
    }

    #[test]
    fn a_client_is_an_address_of_v4_and_a_network_of_v6() {
        let usual = ClientKey::default();
        assert_eq!(of(usual, "192.0.2.7"), "192.0.2.7");
        assert_eq!(of(usual, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of(usual, "::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn the_addresses_of_a_client_are_a_range() {
        let range = |ip: &str| {
            let range = ClientKey { v4: 24, v6: 64 }.range(ip.parse().unwrap());
            (range.start().to_string(), range.end().to_string())
        };
        assert_eq!(
            range("192.0.2.7"),
            ("192.0.2.0".to_owned(), "192.0.2.255".to_owned())
        );
        let (first, last) = range("2001:db8:1:2:3:4:5:6");
        assert_eq!(first, "2001:db8:1:2::");
        assert_eq!(last, "2001:db8:1:2:ffff:ffff:ffff:ffff");
    }

    #[test]
    fn any_number_of_bits_will_do() {
        assert_eq!(of(ClientKey { v4: 0, v6: 0 }, "192.0.2.7"), "0.0.0.0");
        assert_eq!(of(ClientKey { v4: 24, v6: 0 }, "192.0.2.7"), "192.0.2.0");
        assert_eq!(
            of(ClientKey { v4: 0, v6: 128 }, "2001:db8::1"),
            "2001:db8::1"
        );
        assert_eq!(of(ClientKey { v4: 200, v6: 200 }, "192.0.2.7"), "192.0.2.7");
    }
}
