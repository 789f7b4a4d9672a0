//! A server: built, started, and run until it is drained.

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
