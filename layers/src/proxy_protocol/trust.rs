//! The senders that may name clients.

use crate::Network;
use ipnet::IpNet;
use prefix_trie::joint::JointPrefixSet;
use reagent::Addr;

/// The senders whose headers are trusted.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    nets: JointPrefixSet<IpNet>,
    pub(super) unix: bool,
    pub(super) all: bool,
}

impl Trust {
    pub(super) fn add(&mut self, network: Network) {
        self.nets.insert(network.into());
    }

    /// Returns whether the peer of a socket is one of them. A dual-stack listener sees IPv4 clients
    /// as mapped addresses.
    pub(super) fn trusts(&self, socket: &Addr) -> bool {
        self.all
            || match socket {
                Addr::Tcp(addr) => {
                    let ip = IpNet::from(addr.ip().to_canonical());
                    self.nets.get_spm(&ip).is_some()
                }
                Addr::Unix(_) => self.unix,
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn trust_is_by_range_in_both_families() {
        let mut trust = Trust::default();
        for net in [
            "10.1.2.3/8",
            "2001:db8::/32",
            "::ffff:192.0.2.0/120",
            "198.51.100.7",
        ] {
            trust.add(net.parse().unwrap());
        }
        let trusts = |addr: &str| trust.trusts(&Addr::from(addr.parse::<SocketAddr>().unwrap()));
        for addr in [
            "10.0.0.1:1",
            "10.255.255.255:1",
            "[::ffff:10.0.0.1]:1",
            "192.0.2.7:1",
            "[::ffff:192.0.2.7]:1",
            "[2001:db8:1::1]:1",
            "198.51.100.7:1",
        ] {
            assert!(trusts(addr), "{addr}");
        }
        for addr in [
            "11.0.0.1:1",
            "198.51.100.8:1",
            "192.0.3.1:1",
            "[2001:db9::1]:1",
            "[::a00:1]:1",
        ] {
            assert!(!trusts(addr), "{addr}");
        }
        assert!(!trust.trusts(&Addr::Unix(None)));
        assert!(!trust.trusts(&Addr::Other("memory:1".into())));
    }

    #[test]
    fn nobody_is_trusted_unasked() {
        let trust = Trust::default();
        assert!(!trust.trusts(&Addr::from(SocketAddr::from(([127, 0, 0, 1], 1)))));
        assert!(!trust.trusts(&Addr::Unix(None)));
    }
}
