#![doc = include_str!("../README.md")]
// What libraries leave to programs.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod acceptor;
mod addr;
mod connection;
mod error;
mod extensions;
pub mod guide;
mod handler;
pub mod limit;
mod listener;
mod observer;
mod outcome;
mod panic;
mod per_connection;
mod registry;
mod server;
mod service;
pub mod session;
mod start;
#[cfg(feature = "testing")]
pub mod testing;
mod upgrade;
mod waker;

pub use acceptor::{Acceptor, ErrorClass};
pub use addr::Addr;
pub use connection::{
    BoxIo, Connection, ConnectionHandle, ConnectionInfo, ConnectionParts, Draining, IoStream,
    Phase, Transport,
};
pub use error::Error;
pub use extensions::Extensions;
pub use handler::{Handler, handle};
pub use limit::Limit;
pub use listener::{Bind, IntoBinds, Keepalive, Listener, SocketListener, SocketOptions};
pub use observer::Observer;
pub use outcome::{Outcome, Rejected, TimedOut};
pub use per_connection::{PerConnection, per_connection};
pub use server::{DrainReport, ListenerStatus, Server, ServerHandle, State, Stats};
pub use service::ConnectionService;
pub use session::{Session, session};
pub use start::{Spawn, Start, TokioSpawn};
pub use tower::BoxError;
pub use upgrade::{Upgrade, UpgradeLayer, UpgradeService};
