//! Connects to one of several upstreams.

mod check;
mod connect;
mod description;
mod driver;
mod error;
mod guard;
mod handle;
mod health;
mod key;
mod member;
mod pick;
mod queue;
mod report;
mod service;
mod set;
mod settings;
mod shared;
mod stats;

pub use check::Check;
pub use connect::Connected;
pub use description::Upstream;
pub use driver::Driver;
pub use error::{Blameless, FailedAttempt, UpstreamError};
pub use guard::UpstreamGuard;
pub use handle::{Upstreams, UpstreamsBuilder};
pub use key::Key;
pub use service::{ConnectFuture, ConnectService};
pub use settings::{Balance, Ejection};
pub use stats::{StateChange, UpstreamState, UpstreamStats};
