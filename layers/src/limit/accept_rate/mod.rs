//! The limit on the connections accepted per second, of all clients together.

mod layer;
mod service;

pub use layer::{ACCEPT_RATE, AcceptRate, AcceptRateLayer};
pub use service::AcceptRateService;
