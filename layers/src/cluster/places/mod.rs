//! The limit on the open connections of each client.

mod claims;
mod client;
mod limit;
mod place;
mod table;

pub use limit::{CLUSTER_CONNECTIONS, ClusterPerClient};
pub(crate) use place::Place;
