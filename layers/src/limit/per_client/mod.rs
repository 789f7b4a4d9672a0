//! The number of connections that one client may have.

mod clients;
mod future;
mod layer;
mod service;
mod wait;

pub use future::PerClientFuture;
pub use layer::{CLIENT_CONNECTIONS, PerClient, PerClientLayer};
pub use service::PerClientService;
