//! The addresses in a header.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    Unknown,
    Ip {
        source: SocketAddr,
        destination: SocketAddr,
    },
    Unix {
        source: Option<Arc<Path>>,
        destination: Option<Arc<Path>>,
    },
}

impl Addresses {
    /// Creates a pair in canonical form: IPv4-mapped addresses become IPv4, and the flow label and
    /// scope, for which a header has no field, are dropped.
    pub(super) fn ip(source: SocketAddr, destination: SocketAddr) -> Self {
        let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        Addresses::Ip {
            source: canonical(source),
            destination: canonical(destination),
        }
    }
}

/// Two IP addresses as written in a header, which has one family for both.
pub(super) enum Written {
    V4([Ipv4Addr; 2]),
    V6([Ipv6Addr; 2]),
}

impl Written {
    pub(super) fn new(source: &SocketAddr, destination: &SocketAddr) -> Self {
        let mapped = |ip| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Written::V4([source, destination]),
            (source, destination) => Written::V6([mapped(source), mapped(destination)]),
        }
    }
}
