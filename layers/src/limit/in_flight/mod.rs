//! The limit on the handlers that run at once.

mod layer;
mod service;

pub use layer::{IN_FLIGHT, InFlightLayer};
pub use service::InFlight;
