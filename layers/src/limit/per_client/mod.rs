//! The limit on the open connections of each client.

mod clients;
mod future;
mod layer;
mod service;
mod wait;

pub use future::PerClientFuture;
pub use layer::{CLIENT_CONNECTIONS, PerClient, PerClientLayer};
pub use service::PerClientService;
