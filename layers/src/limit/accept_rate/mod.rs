//! The rate at which connections are accepted, all clients together.

mod layer;
mod service;

pub use layer::{ACCEPT_RATE, AcceptRate, AcceptRateLayer};
pub use service::AcceptRateService;
