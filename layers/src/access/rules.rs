//! Which networks are allowed and which denied.

use crate::net::{InvalidNetwork, Network, canonical};
use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;
use reagent::ConnectionHandle;
use std::{fmt, net::IpAddr, sync::Arc};

/// Networks to allow and to deny, and a check of one's own.
///
/// The rule of the longest prefix decides; of a network that is both allowed and denied, the denial. Where no rule
/// fits, clients are admitted if nothing is allowed by name, and refused otherwise. No rules admit everybody.
#[derive(Clone, Default)]
pub struct Rules {
    nets: JointPrefixMap<IpNet, bool>,
    is_closed: bool,
    check: Option<Check>,
}

type Check = Arc<dyn Fn(&ConnectionHandle) -> bool + Send + Sync>;

impl Rules {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows a network, and with the first one nobody else.
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

    /// Allows all of these, written as `192.0.2.0/24`, `2001:db8::/32` or a single address.
    pub fn allow_all<T: AsRef<str>>(
        mut self,
        nets: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidNetwork> {
        for net in nets {
            self = self.allow(parse(net.as_ref())?);
        }
        Ok(self)
    }

    /// Denies all of these.
    pub fn deny_all<T: AsRef<str>>(
        mut self,
        nets: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidNetwork> {
        for net in nets {
            self = self.deny(parse(net.as_ref())?);
        }
        Ok(self)
    }

    /// Asks `check` about everybody whom the other rules admit. It runs in the connection's task and must
    /// not block.
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
            .field("check", &self.check.is_some())
            .finish()
    }
}
