//! The limit on the connections of each client.

use super::{
    Place,
    table::{Known, Table, Unknown},
};
use crate::{
    DryRun, Refusal,
    client::ClientKey,
    cluster::{
        CLUSTER_STORE, Cluster,
        admission::{Admission, Answered, First, Policy, Verdict},
    },
};
use std::{fmt, net::IpAddr, sync::Arc};

/// The reason of a [`Rejected`](reagent::Rejected) connection above its client's limit in the
/// cluster.
pub const CLUSTER_CONNECTIONS: &str = "cluster connections";

/// A limit on the open connections of each client over all instances of a cluster. Clones share it,
/// even across servers.
#[derive(Clone)]
pub struct ClusterPerClient {
    policy: Policy,
    table: Arc<Table>,
    prefixes: ClientKey,
}

impl ClusterPerClient {
    /// Allows `max` connections per client over all instances and closes any beyond that. With 0,
    /// all clients with an IP address are refused.
    ///
    /// All instances must use the same `name`, which tells the limits of a cluster apart, and
    /// should use the same `max`.
    ///
    /// # Panics
    ///
    /// Panics if `cluster` already has a limit of this name.
    pub fn new(cluster: &Cluster, name: &str, max: u32) -> Self {
        ClusterPerClient {
            policy: Policy::new(cluster),
            table: Table::new(cluster, name, max),
            prefixes: ClientKey::default(),
        }
    }

    /// Sets the number of leading bits of an address that identify a client. The default is 32 for
    /// IPv4 and 64 for IPv6, since an IPv6 client usually has a whole /64 (RFC 6177). Values above
    /// 32 and 128 mean the whole address. All instances must use the same.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Sets the treatment of refused connections. The default is [`Refusal::Close`], which tells
    /// the client nothing.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.policy.refusal = refusal;
        self
    }

    /// Sets whether the limit is only tried. In a [`DryRun`], all connections are served, and those
    /// that would have been refused are reported and hold no place. None waits for the store before
    /// it is served, but its future ends only once the store has decided, at most a
    /// [`wait`](super::super::ClusterBuilder::wait) later.
    pub fn dry_run(mut self, dry_run: impl Into<DryRun>) -> Self {
        self.policy.dry_run = dry_run.into();
        self
    }

    /// Returns the number of connections that each client may have.
    pub fn max(&self) -> u32 {
        self.table.max()
    }

    /// Changes the number of connections that each client may have. Open connections stay open,
    /// even if there are more. While instances disagree, each applies its own number to all places.
    pub fn set_max(&self, max: u32) {
        self.table.set_max(max);
    }

    /// Returns the number of clients that this instance remembers.
    pub fn clients(&self) -> usize {
        self.table.clients()
    }

    /// Returns the number of connections that the client with this address has at this instance.
    pub fn connections(&self, ip: IpAddr) -> usize {
        self.table.connections(self.prefixes.of(ip))
    }

    /// Decides without an answer of the store.
    fn lost(&self, client: IpAddr) -> Answered<Option<Place>> {
        match self.table.enter_lost(client) {
            Unknown::Granted(place) => Answered::ByStore(Verdict::Admitted(Some(place))),
            Unknown::Admitted(place) => Answered::Lost(Verdict::Admitted(place)),
            Unknown::Refused => Answered::Lost(Verdict::Refused(CLUSTER_STORE)),
        }
    }
}

impl Admission for ClusterPerClient {
    type Place = Option<Place>;

    fn decide(&self, ip: Option<IpAddr>) -> First<Option<Place>> {
        let Some(ip) = ip else {
            return First::Decided(Answered::ByStore(Verdict::Admitted(None)));
        };
        let client = self.prefixes.of(ip);
        match self.table.enter(client) {
            Known::Admitted(place) => {
                First::Decided(Answered::ByStore(Verdict::Admitted(Some(place))))
            }
            Known::Refused => {
                First::Decided(Answered::ByStore(Verdict::Refused(CLUSTER_CONNECTIONS)))
            }
            Known::Ask => First::Ask,
            Known::Lost => First::Decided(self.lost(client)),
        }
    }

    async fn ask(&self, ip: Option<IpAddr>) -> Answered<Option<Place>> {
        let client = ip.map(|ip| self.prefixes.of(ip));
        let client = client.expect("local clients are not asked for");
        match self
            .policy
            .cluster
            .shared
            .wait(self.table.ask(client))
            .await
        {
            Some(Some(place)) => Answered::ByStore(Verdict::Admitted(Some(place))),
            Some(None) => Answered::ByStore(Verdict::Refused(CLUSTER_CONNECTIONS)),
            None => self.lost(client),
        }
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

impl fmt::Debug for ClusterPerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterPerClient")
            .field("max", &self.max())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}
