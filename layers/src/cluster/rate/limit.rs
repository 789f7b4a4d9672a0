//! The limit on connections per second.

use super::table::{ALL, Known, Table};
use crate::{
    DryRun, Refusal,
    client::ClientKey,
    cluster::{
        CLUSTER_STORE, Cluster,
        admission::{Admission, Answered, First, Policy, Verdict},
    },
};
use std::{fmt, net::IpAddr, sync::Arc};

/// The reason of a [`Rejected`](reagent::Rejected) connection above its client's rate in the
/// cluster.
pub const CLUSTER_CLIENT_RATE: &str = "cluster client rate";

/// The reason of a [`Rejected`](reagent::Rejected) connection above the rate of the cluster.
pub const CLUSTER_RATE: &str = "cluster rate";

/// A limit on connections per second over all instances of a cluster: of each client, or of all
/// together. Clones share it, even across servers.
#[derive(Clone)]
pub struct ClusterRate {
    policy: Policy,
    table: Arc<Table>,
    /// `None` if all clients share the rate.
    prefixes: Option<ClientKey>,
}

impl ClusterRate {
    /// Allows each client `per_second` connections per second over all instances, and up to `burst`
    /// at once after a pause. Closes any beyond that.
    ///
    /// A `burst` below 1 counts as 1 and is rounded down, and a rate is at least one per day. All
    /// instances must use the same `name`, which tells the limits of a cluster apart.
    ///
    /// # Panics
    ///
    /// Panics if `cluster` already has a limit of this name.
    pub fn per_client(cluster: &Cluster, name: &str, per_second: f64, burst: f64) -> Self {
        let mut rate = Self::in_all(cluster, name, per_second, burst);
        rate.prefixes = Some(ClientKey::default());
        rate
    }

    /// Allows `per_second` connections per second of all clients at all instances together. The
    /// other arguments are those of [`per_client`](Self::per_client).
    ///
    /// # Panics
    ///
    /// Panics if `cluster` already has a limit of this name.
    pub fn in_all(cluster: &Cluster, name: &str, per_second: f64, burst: f64) -> Self {
        ClusterRate {
            policy: Policy::new(cluster),
            table: Table::new(cluster, name, per_second, burst),
            prefixes: None,
        }
    }

    /// Sets the number of leading bits of an address that identify a client. The default is 32 for
    /// IPv4 and 64 for IPv6, since an IPv6 client usually has a whole /64 (RFC 6177). Values above
    /// 32 and 128 mean the whole address. It has no effect on a rate of all clients.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = self.prefixes.map(|_| ClientKey { v4, v6 });
        self
    }

    /// Sets the treatment of connections above the rate. The default is [`Refusal::Close`], which
    /// tells the client nothing.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.policy.refusal = refusal;
        self
    }

    /// Sets whether the limit is only tried. In a [`DryRun`], all connections are served, and those
    /// that would have been refused are reported. None waits for the store before it is served, but
    /// its future ends only once the store has decided, at most a
    /// [`wait`](super::super::ClusterBuilder::wait) later.
    pub fn dry_run(mut self, dry_run: impl Into<DryRun>) -> Self {
        self.policy.dry_run = dry_run.into();
        self
    }

    /// Returns the number of connections per second.
    pub fn per_second(&self) -> f64 {
        self.table.per_second()
    }

    /// Changes the rate and the burst. See [`per_client`](Self::per_client).
    pub fn set(&self, per_second: f64, burst: f64) {
        self.table.set(per_second, burst);
    }

    /// Returns the number of clients that this instance remembers.
    pub fn clients(&self) -> usize {
        self.table.clients()
    }

    /// Returns the client of an address, or `None` for a local one that the rate does not limit.
    fn client(&self, ip: Option<IpAddr>) -> Option<IpAddr> {
        match self.prefixes {
            Some(prefixes) => ip.map(|ip| prefixes.of(ip)),
            None => Some(ALL),
        }
    }

    fn refused(&self) -> Verdict<()> {
        Verdict::Refused(match self.prefixes {
            Some(_) => CLUSTER_CLIENT_RATE,
            None => CLUSTER_RATE,
        })
    }

    /// Decides without the store.
    fn lost(&self, client: IpAddr) -> Answered<()> {
        Answered::Lost(match self.table.enter_lost(client) {
            true => Verdict::Admitted(()),
            false => Verdict::Refused(CLUSTER_STORE),
        })
    }
}

impl Admission for ClusterRate {
    type Place = ();

    fn decide(&self, ip: Option<IpAddr>) -> First<()> {
        let Some(client) = self.client(ip) else {
            return First::Decided(Answered::ByStore(Verdict::Admitted(())));
        };
        match self.table.enter(client) {
            Known::Admitted => First::Decided(Answered::ByStore(Verdict::Admitted(()))),
            Known::Refused => First::Decided(Answered::ByStore(self.refused())),
            Known::Ask => First::Ask,
            Known::Lost => First::Decided(self.lost(client)),
        }
    }

    async fn ask(&self, ip: Option<IpAddr>) -> Answered<()> {
        let client = self.client(ip).expect("local clients are not asked for");
        match self
            .policy
            .cluster
            .shared
            .wait(self.table.ask(client))
            .await
        {
            Some(true) => Answered::ByStore(Verdict::Admitted(())),
            Some(false) => Answered::ByStore(self.refused()),
            None => self.lost(client),
        }
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

impl fmt::Debug for ClusterRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterRate")
            .field("per_second", &self.per_second())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}
