//! The server: building, starting, running and draining it.

mod builder;
mod config;
mod drain;
mod end;
mod handle;
mod launch;
mod notices;
mod per_core;
mod readiness;
mod shutdown;
mod starting;
mod stats;
mod supervise;
mod survivors;

pub use builder::{BoxedLayers, Server};
pub use handle::ServerHandle;
pub use readiness::{Readiness, ReadinessHold};
pub use starting::Starting;
pub use stats::{ListenerStatus, ServerStatus, Stats};
