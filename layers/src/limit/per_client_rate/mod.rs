//! The rate at which one client may connect.

mod layer;
mod service;

pub use layer::{CLIENT_RATE, PerClientRate, PerClientRateLayer};
pub use service::PerClientRateService;
