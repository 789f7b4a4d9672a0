#![doc = include_str!("../README.md")]
// What libraries leave to programs.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod acceptor;
mod addr;
mod cast;
mod connection;
mod error;
mod extensions;
pub mod guide;
mod io;
pub mod limit;
mod listener;
mod outcome;
mod panic;
mod pool;
mod server;
mod service;
pub mod session;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;

pub use addr::Addr;
pub use connection::{
    Acceptor, BoxIo, Connection, ConnectionHandle, ConnectionInfo, ConnectionParts, DrainReport,
    Draining, Linger, Observer, Phase, event, linger,
};
pub use error::Error;
pub use extensions::Extensions;
pub use io::IoStream;
pub use limit::Limit;
pub use listener::{
    Accepted, Bind, ErrorClass, IntoBinds, Keepalive, Listener, SocketListener, SocketOptions,
    Transport,
};
pub use outcome::{Disconnect, Outcome, OutcomeKind, Rejected, TimedOut};
pub use server::{
    BoxedLayers, ListenerStatus, Server, ServerHandle, ServerStatus, Starting, Stats,
};
pub use service::{
    CloneService, ConnectionService, Handler, HandlerFuture, PerConnection, PerConnectionFuture,
    Spawn, Start, TokioSpawn, Upgrade, UpgradeFuture, UpgradeLayer, UpgradeService, handle,
    per_connection,
};
pub use session::{Session, session};
pub use tower::BoxError;
