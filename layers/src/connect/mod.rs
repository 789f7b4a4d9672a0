//! Connects to upstreams.

mod attempts;
mod error;
mod open;
mod order;
mod race;
mod request;
mod resolve;
mod service;
mod settings;
mod socket;
mod stream;
mod target;
#[cfg(feature = "connect_tls")]
mod tls;
mod unix;

pub use attempts::FailedAttempt;
pub use error::{ConnectError, ConnectErrorKind};
pub use request::ConnectRequest;
pub use resolve::{CacheDriver, Cached, Resolve, Resolved, System};
pub use service::{Connect, ConnectFuture};
pub use stream::UpstreamIo;
pub use target::{InvalidTarget, Target};
#[cfg(feature = "connect_tls")]
pub use tls::{TlsClient, TlsClientBuilder, TlsClientError, TlsClientErrorKind};
