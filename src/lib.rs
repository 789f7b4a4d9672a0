// The links of the README lead to docs.rs. Here they lead to the pages of this build, since the first
// definition of a link applies.
//! [`Observer`]: crate::Observer
//! [`Server::start_make`]: crate::Server::start_make
//! [`guide::accept_loop`]: crate::guide::accept_loop
//! [`guide::layer`]: crate::guide::layer
//! [`guide::shutdown`]: crate::guide::shutdown
//! [`guide::start`]: crate::guide::start
//! [`guide::testing`]: crate::guide::testing
//! [`handle`]: crate::handle()
#![doc = include_str!("../README.md")]
// On docs.rs, items show the features that they need.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Printing is for programs, not for libraries.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod acceptor;
mod addr;
mod carried;
mod cast;
mod connection;
#[cfg(target_os = "linux")]
mod direct;
mod error;
mod error_chain;
mod extensions;
pub mod guide;
mod io;
pub mod limit;
mod listener;
mod outcome;
mod panic;
mod pool;
mod prefixed_io;
mod server;
mod service;
pub mod session;
mod sync;
// The documentation without features links to it too.
#[cfg(any(feature = "testing", doc))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use addr::Addr;
pub use carried::Carried;
pub use connection::{
    Acceptor, BoxIo, Connection, ConnectionHandle, ConnectionInfo, ConnectionParts, DrainReport,
    Draining, EofOnDrain, HeldConnection, Linger, Observer, ObserverFn, Phase, Rate,
    SurvivalReason, Survivor, event, linger, observer_fn,
};
pub use error::Error;
pub use error_chain::ErrorChain;
pub use extensions::Extensions;
pub use io::IoStream;
pub use limit::Limit;
pub use listener::{
    Accepted, Bind, ErrorClass, IntoBinds, Keepalive, Listener, SocketListener, SocketOptions,
    Transport,
};
pub use outcome::{Disconnect, Outcome, OutcomeKind, Rejected, TimedOut};
pub use pool::Shutdown;
pub use prefixed_io::PrefixedIo;
#[cfg(unix)]
pub use server::Handover;
pub use server::{
    BoxedLayers, ListenerStats, Readiness, ReadinessHold, Server, ServerHandle, ServerStatus,
    Starting, Stats,
};
pub use service::{
    CloneService, ConnectionService, Handler, HandlerFuture, PerConnection, PerConnectionFuture,
    Spawn, Start, TokioSpawn, Upgrade, UpgradeFuture, UpgradeLayer, UpgradeService, handle,
    per_connection,
};
pub use session::{Session, session};
pub use tower::BoxError;
