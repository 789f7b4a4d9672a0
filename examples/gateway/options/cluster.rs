//! The options of the limit that several gateways share.

use crate::values::{Count, Seconds, Secret};
use clap::{Args, ValueEnum};
use reagent_layers::cluster::{Lost, Mode};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The options of the limit that several gateways share.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ClusterOptions {
    /// URL of a Redis or Valkey server by which gateways share a limit:
    /// redis://[[USER]:PASSWORD@]HOST[:PORT]/DATABASE, or rediss:// for TLS. If it has a password,
    /// set it in a file, which keeps it out of the list of processes
    #[arg(long, value_name = "URL")]
    pub cluster: Option<Secret>,
    /// Maximum number of open connections per IPv4 address or IPv6 /64 at all gateways together
    #[arg(long, value_name = "N")]
    pub cluster_per_client: Option<Count>,
    /// Name that gateways with a common limit have in common
    #[arg(long, value_name = "NAME", default_value = "gateway")]
    pub cluster_name: String,
    /// Time in seconds after which the places of a crashed gateway are free, at least 1
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub cluster_lease: Seconds,
    /// Time in seconds that a connection waits for the store. The store is lost if it takes five
    /// times as long to answer
    #[arg(long, value_name = "SECONDS", default_value = "0.02")]
    pub cluster_wait: Seconds,
    /// Whether each connection asks the store, or places are taken ahead
    #[arg(long, value_name = "MODE", default_value = "quota")]
    pub cluster_mode: ClusterMode,
    /// Whom to admit while the store cannot be reached: everybody, nobody, or this gateway's share
    /// of the limit
    #[arg(long, value_name = "POLICY", default_value = "share")]
    pub cluster_lost: ClusterLost,
    /// Number of gateways among which the limit is divided while the store cannot be reached
    /// [default: as many as the store last reported]
    #[arg(long, value_name = "N")]
    pub cluster_instances: Option<Count>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterMode {
    Exact,
    Quota,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterLost {
    Open,
    Closed,
    Share,
}

impl ClusterOptions {
    /// Checks that the options agree with one another. Problems name them as keys of a file.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.cluster.is_some() != self.cluster_per_client.is_some() {
            return Err("`cluster` and `cluster-per-client` require each other");
        }
        match self.cluster_lease.0 < Duration::from_secs(1) {
            true => Err("`cluster-lease` is too short; expected at least 1 second"),
            false => Ok(()),
        }
    }

    /// Returns whether the URL has a password.
    pub fn has_password(&self) -> bool {
        let url = self.cluster.as_ref();
        url.is_some_and(|Secret(url)| url.contains('@'))
    }

    /// Returns whether `other` has the same options, except for the limit.
    pub fn is_same_instance(&self, other: &Self) -> bool {
        let other = ClusterOptions {
            cluster_per_client: self.cluster_per_client,
            ..other.clone()
        };
        // A limit cannot be added or removed.
        *self == other
    }

    pub fn mode(&self) -> Mode {
        match self.cluster_mode {
            ClusterMode::Exact => Mode::Exact,
            ClusterMode::Quota => Mode::Quota,
        }
    }

    pub fn lost(&self) -> Lost {
        match self.cluster_lost {
            ClusterLost::Open => Lost::Open,
            ClusterLost::Closed => Lost::Closed,
            ClusterLost::Share => Lost::Share,
        }
    }
}
