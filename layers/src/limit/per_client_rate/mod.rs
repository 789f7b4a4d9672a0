//! The limit on the connections per second of each client.

mod layer;
mod service;

pub use layer::{CLIENT_RATE, PerClientRate, PerClientRateLayer};
pub use service::PerClientRateService;
