//! Whose addresses a header gives.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    Unknown,
    /// Both of one family.
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
    /// Two addresses of one family, without what no header has a place for (flow and scope).
    pub(super) fn ip(source: SocketAddr, destination: SocketAddr) -> Self {
        let is_mixed = source.is_ipv4() != destination.is_ipv4();
        let plain = |addr: SocketAddr| match addr.ip() {
            IpAddr::V4(ip) if is_mixed => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
            ip => SocketAddr::new(ip, addr.port()),
        };
        Addresses::Ip {
            source: plain(source),
            destination: plain(destination),
        }
    }
}
