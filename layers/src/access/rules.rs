//! The networks that are allowed and denied, and the fingerprints that are denied.

use super::{InvalidFingerprint, fingerprints::Fingerprints};
use crate::net::{InvalidNetwork, Network, canonical};
use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;
use reagent::ConnectionHandle;
use std::{fmt, net::IpAddr, sync::Arc};

/// Networks to allow and to deny, JA4 fingerprints to deny, and an optional check of each
/// connection.
///
/// The rule with the longest prefix decides, in whatever order the rules were added. If the same
/// network is both allowed and denied, it is denied. A client that matches no rule is admitted if
/// no network is allowed, and refused otherwise. So without any rules, every client is admitted.
///
/// ```
/// use reagent_layers::access::{Access, Rules};
///
/// let rules = Rules::new().allow_all(["10.0.0.0/8", "10.66.6.0/24"])?.deny_all(["10.66.0.0/16"])?;
/// let access = Access::new(rules);
/// let admits = |ip: &str| access.check(ip.parse().unwrap()).is_ok();
/// assert!(admits("10.1.2.3"));
/// assert!(!admits("10.66.2.3")); // denied by 10.66.0.0/16
/// assert!(admits("10.66.6.3")); // allowed by 10.66.6.0/24, which is more specific
/// assert!(!admits("192.0.2.1")); // matches no rule, and others are allowed
/// # Ok::<(), reagent_layers::InvalidNetwork>(())
/// ```
#[derive(Clone, Default)]
pub struct Rules {
    nets: JointPrefixMap<IpNet, bool>,
    is_closed: bool,
    fingerprints: Fingerprints,
    check: Option<Check>,
}

type Check = Arc<dyn Fn(&ConnectionHandle) -> bool + Send + Sync>;

impl Rules {
    /// Creates an empty set of rules, which admits every client.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows a network. From then on, clients that match no rule are refused.
    pub fn allow(mut self, net: impl Into<IpNet>) -> Self {
        self.is_closed = true;
        self.rule(net.into(), true);
        self
    }

    /// Denies a network.
    pub fn deny(mut self, net: impl Into<IpNet>) -> Self {
        self.rule(net.into(), false);
        self
    }

    /// Allows several networks, each written as a CIDR such as `192.0.2.0/24` or `2001:db8::/32`,
    /// or as a single address.
    ///
    /// # Errors
    ///
    /// [`InvalidNetwork`](crate::InvalidNetwork) for the first item that is neither.
    pub fn allow_all<T: AsRef<str>>(
        mut self,
        nets: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidNetwork> {
        for net in nets {
            self = self.allow(parse(net.as_ref())?);
        }
        Ok(self)
    }

    /// Denies several networks, written as for [`allow_all`](Self::allow_all).
    ///
    /// # Errors
    ///
    /// [`InvalidNetwork`](crate::InvalidNetwork) for the first item that is neither a CIDR nor an
    /// address.
    pub fn deny_all<T: AsRef<str>>(
        mut self,
        nets: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidNetwork> {
        for net in nets {
            self = self.deny(parse(net.as_ref())?);
        }
        Ok(self)
    }

    /// Denies TLS clients with one of these JA4 fingerprints, such as
    /// `t13d1516h2_8daaf6152771_e5627efa2ab1`, whatever their networks. They are refused with the
    /// reason [`JA4`](super::JA4), before TLS answers them.
    ///
    /// The rules have to be in an [`AccessLayer`](super::AccessLayer) inside of a `SniffLayer` that
    /// computes fingerprints, and outside of TLS. They do not apply to clients whose fingerprint is
    /// unknown. See [By fingerprint](super#by-fingerprint).
    ///
    /// # Errors
    ///
    /// [`InvalidFingerprint`] for the first item that is not the fingerprint of a client of TLS over
    /// TCP.
    pub fn deny_ja4<T: AsRef<str>>(
        mut self,
        fingerprints: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidFingerprint> {
        for fingerprint in fingerprints {
            self.fingerprints.add(fingerprint.as_ref())?;
        }
        Ok(self)
    }

    /// Sets a check of connections that the other rules and the ban list admit. It returns whether
    /// to admit the connection, and replaces an earlier check.
    ///
    /// It runs in the acceptor, so it must be quick: no I/O, and no lock that is held for long.
    ///
    /// # Panics
    ///
    /// If `check` panics, the panic ends that connection and nothing else.
    pub fn check(
        mut self,
        check: impl Fn(&ConnectionHandle) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    fn rule(&mut self, net: IpNet, allow: bool) {
        let net = canonical(net).trunc();
        let allow = allow && self.nets.get(&net) != Some(&false);
        self.nets.insert(net, allow);
    }

    pub(super) fn admits(&self, ip: IpAddr) -> bool {
        let rule = self.nets.get_lpm(&ip.to_canonical().into());
        rule.map_or(!self.is_closed, |(_, allow)| *allow)
    }

    pub(super) fn denies_ja4_of(&self, connection: &ConnectionHandle) -> bool {
        self.fingerprints.contain(connection)
    }

    pub(super) fn checks(&self, connection: &ConnectionHandle) -> bool {
        self.check.as_ref().is_none_or(|check| check(connection))
    }
}

fn parse(text: &str) -> Result<IpNet, InvalidNetwork> {
    text.parse::<Network>().map(IpNet::from)
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("networks", &self.nets.len())
            .field("others_admitted", &!self.is_closed)
            .field("fingerprints", &self.fingerprints.len())
            .field("check", &self.check.is_some())
            .finish()
    }
}
