//! Which networks are allowed and which denied.

use crate::net::{InvalidNetwork, Network, canonical};
use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;
use reagent::{Connection, ConnectionHandle};
use std::{fmt, net::IpAddr, sync::Arc};

/// Networks to allow and to deny, and a check by the program.
///
/// The rule with the longest prefix decides; if a network is both allowed and denied, the denial does. A client
/// that no rule fits is admitted if no network is allowed, and refused otherwise. Without rules every client is
/// admitted.
#[derive(Clone, Default)]
pub struct Rules {
    nets: JointPrefixMap<IpNet, bool>,
    is_closed: bool,
    check: Option<Check>,
}

type Check = Arc<dyn Fn(&ConnectionHandle) -> bool + Send + Sync>;

impl Rules {
    /// Creates an empty set of rules, which admits every client.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows a network. The first one closes the server to all other networks.
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

    /// Allows several networks, written as `192.0.2.0/24`, `2001:db8::/32` or a single address.
    ///
    /// # Errors
    ///
    /// [`InvalidNetwork`](crate::InvalidNetwork) for the first that is neither.
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
    /// [`InvalidNetwork`](crate::InvalidNetwork) for the first that is neither an address nor a network.
    pub fn deny_all<T: AsRef<str>>(
        mut self,
        nets: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidNetwork> {
        for net in nets {
            self = self.deny(parse(net.as_ref())?);
        }
        Ok(self)
    }

    /// Asks `check` about every client that the other rules admit.
    ///
    /// It runs in the acceptor, so it must be quick: no I/O, no lock that is held for long.
    ///
    /// # Panics
    ///
    /// A panic of `check` is the connection's: it ends that connection and nothing else.
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

    pub(super) fn checks<Io>(&self, conn: &Connection<Io>) -> bool {
        self.check
            .as_ref()
            .is_none_or(|check| check(&conn.handle()))
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
