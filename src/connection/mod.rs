//! Accepted connections, and what is known about them.

mod acceptor;
mod activity_clock;
mod box_io;
#[expect(
    clippy::module_inception,
    reason = "the folder is named after its main type"
)]
mod connection;
#[cfg(target_os = "linux")]
mod direct_io;
mod drain_report;
mod draining;
mod entry;
mod eof_on_drain;
pub mod event;
mod handle;
mod held;
mod in_use;
mod info;
mod linger;
mod listener_entry;
mod observer;
mod observer_fn;
mod open_guard;
mod opening;
mod parts;
mod phase;
mod rate;
mod registry;
mod shard;
#[cfg(all(test, target_pointer_width = "64"))]
mod sizes;
mod socket;
mod spared;
mod survivor;
mod table;

pub use acceptor::Acceptor;
pub use box_io::BoxIo;
pub use connection::Connection;
pub use drain_report::DrainReport;
pub use draining::Draining;
pub(crate) use entry::flag;
pub use eof_on_drain::EofOnDrain;
pub use handle::ConnectionHandle;
pub use held::HeldConnection;
pub use info::ConnectionInfo;
pub use linger::{Linger, linger};
pub(crate) use listener_entry::ListenerEntry;
pub use observer::Observer;
pub use observer_fn::{ObserverFn, observer_fn};
pub(crate) use open_guard::OpenGuard;
pub(crate) use opening::OPENING_TIMEOUT;
pub use parts::ConnectionParts;
pub use phase::Phase;
pub use rate::Rate;
pub(crate) use registry::{Registrar, Registry};
pub(crate) use shard::Totals;
pub use survivor::{SurvivalReason, Survivor};
