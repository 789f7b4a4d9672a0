//! The server: building, starting, running and draining it.

mod builder;
mod config;
mod drain;
mod end;
mod handle;
mod launch;
mod per_core;
mod starting;
mod stats;
mod supervise;

pub use builder::{BoxedLayers, Server};
pub use handle::ServerHandle;
pub use starting::Starting;
pub use stats::{ListenerStatus, ServerStatus, Stats};
