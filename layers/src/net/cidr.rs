//! Networks, as they are written and as clients show themselves.

use ipnet::{IpNet, Ipv4Net};

/// The IPv4 form of a range of mapped addresses.
pub(crate) fn canonical(net: IpNet) -> IpNet {
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6
            .addr()
            .to_ipv4_mapped()
            .and_then(|ip| Ipv4Net::new(ip, v6.prefix_len() - 96).ok())
            .map_or(net, IpNet::V4),
        _ => net,
    }
}
