//! Limits connections over all instances of a server.

mod admission;
mod driver;
mod future;
mod handle;
mod layer;
mod ledger;
mod memory_store;
mod places;
mod rate;
#[cfg(feature = "cluster_redis")]
mod redis;
mod service;
mod settings;
mod shared;
mod stats;
mod store;

pub use driver::Driver;
pub use future::ClusterFuture;
pub use handle::{Cluster, ClusterBuilder};
pub use layer::ClusterLayer;
pub use memory_store::MemoryStore;
pub use places::{CLUSTER_CONNECTIONS, ClusterPerClient};
pub use rate::{CLUSTER_CLIENT_RATE, CLUSTER_RATE, ClusterRate};
#[cfg(feature = "cluster_redis")]
pub use redis::{InvalidUrl, RedisStore};
pub use service::ClusterService;
pub use settings::{Lost, Mode, UnknownName};
pub use stats::ClusterStats;
pub use store::{Answer, Batch, Claim, Store, StoreFuture, share};

/// The reason of a [`Rejected`](reagent::Rejected) connection that was refused because the store
/// could not be asked.
pub const CLUSTER_STORE: &str = "cluster store";

/// The label of connections that were decided without the store. Its value is the policy.
pub const LOST_LABEL: &str = "cluster.lost";
