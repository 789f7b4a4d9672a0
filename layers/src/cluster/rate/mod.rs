//! The limit on connections per second.

mod bucket;
mod claims;
mod limit;
mod table;

pub use limit::{CLUSTER_CLIENT_RATE, CLUSTER_RATE, ClusterRate};
