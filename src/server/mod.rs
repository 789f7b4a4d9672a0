//! The server: building, starting, running and draining it.

mod activity;
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
mod notices;
mod per_core;
mod readiness;
mod shutdown;
mod starting;
mod stats;
mod supervise;
mod survivors;
mod sweep;
mod worker;

pub use builder::{BoxedLayers, Server};
pub use handle::ServerHandle;
#[cfg(unix)]
pub use handover::Handover;
pub use readiness::{Readiness, ReadinessHold};
pub use starting::Starting;
pub use stats::{ListenerStats, ServerStatus, Stats};
