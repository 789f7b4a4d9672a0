//! How a limit decides about a connection.

use super::Cluster;
use crate::{DryRun, Refusal};
use reagent::ConnectionHandle;
use std::{future::Future, net::IpAddr};

/// The decision of a limit about a connection.
#[derive(Debug)]
pub enum Verdict<P> {
    /// It is admitted, and keeps this until it ends.
    Admitted(P),
    /// It is refused for this reason.
    Refused(&'static str),
}

/// A verdict, and by whom.
#[derive(Debug)]
pub enum Answered<P> {
    /// By what the store has granted.
    ByStore(Verdict<P>),
    /// By the policy for a store that does not answer.
    Lost(Verdict<P>),
}

/// The outcome of deciding without asking the store.
#[derive(Debug)]
pub enum First<P> {
    Decided(Answered<P>),
    /// The store has to be asked.
    Ask,
}

/// What each limit of a cluster has, whatever it counts.
#[derive(Clone, Debug)]
pub struct Policy {
    pub cluster: Cluster,
    pub refusal: Refusal,
    pub dry_run: DryRun,
}

impl Policy {
    pub fn new(cluster: &Cluster) -> Self {
        Policy {
            cluster: cluster.clone(),
            refusal: Refusal::default(),
            dry_run: DryRun::default(),
        }
    }

    /// Returns whether a connection that is refused is served all the same, in a dry run.
    pub fn spares(&self, conn: &ConnectionHandle, reason: &str) -> bool {
        self.dry_run.spares(conn, "cluster", reason)
    }
}

/// A limit of a cluster.
pub trait Admission: Clone + Send + Sync + 'static {
    type Place: Send + 'static;

    /// Decides without asking the store, if possible. `None` stands for a local client.
    fn decide(&self, ip: Option<IpAddr>) -> First<Self::Place>;

    /// Asks the store, and decides without it if that takes too long.
    fn ask(&self, ip: Option<IpAddr>) -> impl Future<Output = Answered<Self::Place>> + Send;

    fn policy(&self) -> &Policy;
}
