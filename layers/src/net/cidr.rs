//! IP networks: the one parser of addresses and CIDRs in this crate.

use ipnet::{IpNet, Ipv4Net};
use std::{error::Error, fmt, net::IpAddr, str::FromStr};

/// A network of IP addresses, written in CIDR notation such as `192.0.2.0/24` or as a single
/// address.
///
/// IPv4-mapped IPv6 addresses (`::ffff:192.0.2.1`) are treated as the IPv4 addresses that they
/// represent. Bits after the prefix are cleared, so two networks that contain the same addresses
/// are equal. `Network` implements [`FromStr`], so argument parsers such as clap can use it as the
/// type of an option.
///
/// # Example
///
/// ```
/// use reagent_layers::Network;
///
/// let network: Network = "192.0.2.7/24".parse()?;
/// assert_eq!(network.to_string(), "192.0.2.0/24");
/// assert!(network.contains("192.0.2.99".parse()?));
/// assert_eq!("2001:db8::1".parse::<Network>()?.to_string(), "2001:db8::1/128");
///
/// let error = "example.com".parse::<Network>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid network \"example.com\": expected an address or a CIDR such as 192.0.2.0/24"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Returns whether the network contains `ip`. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

impl From<IpNet> for Network {
    fn from(net: IpNet) -> Self {
        Network(canonical(net).trunc())
    }
}

impl From<IpAddr> for Network {
    /// Creates the network that contains only this address.
    fn from(ip: IpAddr) -> Self {
        Network(ip.to_canonical().into())
    }
}

impl From<Network> for IpNet {
    fn from(network: Network) -> Self {
        network.0
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let trimmed = text.trim();
        let ip = IpAddr::from_str(trimmed).map(Network::from);
        let net = || {
            IpNet::from_str(trimmed)
                .ok()
                .filter(|net| !is_ambiguous(*net))
        };
        ip.ok()
            .or_else(|| net().map(Network::from))
            .ok_or_else(|| InvalidNetwork { text: text.into() })
    }
}

/// Returns whether the network is written with an IPv4-mapped address but contains more than mapped
/// addresses. It looks as if it contained IPv4 clients, and contains none.
fn is_ambiguous(net: IpNet) -> bool {
    match net {
        IpNet::V6(net) => net.prefix_len() < 96 && net.addr().to_ipv4_mapped().is_some(),
        IpNet::V4(_) => false,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the IPv4 form of a range of IPv4-mapped addresses, and any other network unchanged.
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

/// The error of a text that is neither an IP address nor a CIDR.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidNetwork {
    text: Box<str>,
}

impl InvalidNetwork {
    /// Returns the text as it was passed.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid network {:?}: expected an address or a CIDR such as 192.0.2.0/24",
            self.text
        )
    }
}

/// Prints the message, since that is what the user of a program sees when `main` returns the error.
impl fmt::Debug for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for InvalidNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one_and_mapped_ones_are_ipv4() {
        for (text, network) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "::1/128"),
            (" 10.1.2.3/8 ", "10.0.0.0/8"),
            ("2001:db8:1::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), network);
        }
    }

    #[test]
    fn what_is_neither_is_refused_in_the_same_words() {
        for text in [
            "",
            "localhost",
            "192.0.2.0/33",
            "192.0.2.0/",
            "[::1]",
            "192.0.2.1:80",
            "1.2.3",
            "::ffff:10.0.0.0/90",
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "invalid network {text:?}: expected an address or a CIDR such as 192.0.2.0/24"
                )
            );
            assert_eq!(format!("{error:?}"), error.to_string());
            assert_eq!(error.text(), text);
        }
    }
}
