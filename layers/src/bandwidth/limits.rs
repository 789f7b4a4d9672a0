//! The limits as a program sets and changes them.

use super::{
    Quota, Rates,
    shared::{Scope, Shared},
};
use crate::{client::ClientKey, io::Direction};
use std::{fmt, net::IpAddr, sync::Arc};

/// Limits of bytes that can be changed while they hold. Clones share them, whichever servers they limit.
///
/// Nothing is limited until it is set. A changed rate takes effect at the next read or write, and within a second
/// for one that waits.
#[derive(Clone)]
pub struct BandwidthLimits {
    pub(super) shared: Arc<Shared>,
    prefixes: ClientKey,
}

impl BandwidthLimits {
    /// Creates limits that limit nothing yet.
    pub fn new() -> Self {
        BandwidthLimits {
            shared: Arc::new(Shared::new()),
            prefixes: ClientKey::default(),
        }
    }

    /// Limits each connection. Default none.
    pub fn per_connection(self, rates: impl Into<Rates>) -> Self {
        self.set_per_connection(rates);
        self
    }

    /// Limits all connections of a client together. Default none.
    ///
    /// A client is remembered until it is as if it had never come, so that it gains nothing by reconnecting.
    pub fn per_client(self, rates: impl Into<Rates>) -> Self {
        self.set_per_client(rates);
        self
    }

    /// Limits all connections together. Default none.
    pub fn total(self, rates: impl Into<Rates>) -> Self {
        self.set_total(rates);
        self
    }

    /// Limits how many bytes each connection may have in total. Default unlimited.
    pub fn quota(self, quota: Quota) -> Self {
        self.set_quota(quota);
        self
    }

    /// Sets how many leading bits of an address make a client. Default 32 for IPv4 and 64 for IPv6.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Sets how many clients are remembered at most, and forgets those that were. Default 65,536.
    ///
    /// A client is forgotten once it has no connection and again all it may have, and never before: when the
    /// table is full of others, all clients that are not in it share one rate, as if they were one client.
    pub fn capacity(self, clients: usize) -> Self {
        self.shared.set_capacity(clients);
        self
    }

    /// Changes the rates of each connection.
    pub fn set_per_connection(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Connection, rates.into());
    }

    /// Changes the rates of each client.
    pub fn set_per_client(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Client, rates.into());
    }

    /// Changes the rates of all connections together.
    pub fn set_total(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Total, rates.into());
    }

    /// Changes the quota of later connections.
    pub fn set_quota(&self, quota: Quota) {
        self.shared.set_quota(quota);
    }

    /// Returns the number of clients that are remembered.
    pub fn clients(&self) -> usize {
        self.shared.clients()
    }

    pub(super) fn client(&self, ip: IpAddr) -> IpAddr {
        self.prefixes.of(ip)
    }
}

impl Default for BandwidthLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BandwidthLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = |scope| Direction::BOTH.map(|direction| self.shared.rate(direction, scope));
        f.debug_struct("BandwidthLimits")
            .field("per_connection", &rates(Scope::Connection))
            .field("per_client", &rates(Scope::Client))
            .field("total", &rates(Scope::Total))
            .field("quota", &self.shared.quota())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}
