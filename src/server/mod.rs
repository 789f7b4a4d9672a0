//! The server: building, starting, running and draining it.

mod builder;
mod config;
mod drain;
mod end;
mod handle;
#[cfg(unix)]
mod handover;
mod launch;
mod listeners;
mod listening;
mod per_core;
mod starting;
mod stats;
mod supervise;
mod sweep;

pub use builder::{BoxedLayers, Server};
pub use handle::ServerHandle;
#[cfg(unix)]
pub use handover::Handover;
pub use starting::Starting;
pub use stats::{ListenerStats, ServerStatus, Stats};
