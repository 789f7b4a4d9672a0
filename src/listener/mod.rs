//! Listeners: the sources of connections.

mod accept_error;
mod address;
mod bind;
#[cfg(unix)]
mod inherit;
mod inspect;
mod into_binds;
#[expect(
    clippy::module_inception,
    reason = "the folder is named after its main type"
)]
mod listener;
mod open;
mod options;
mod queue;
mod refusal;
mod settings;
mod socket;
mod sources;
#[cfg(target_os = "linux")]
mod systemd;
mod transport;
#[cfg(unix)]
mod unix_accept;
#[cfg(unix)]
mod unix_path;
mod watch;

pub use accept_error::ErrorClass;
pub use bind::Bind;
pub(crate) use bind::check_limits;
#[cfg(unix)]
pub(crate) use inherit::SocketFacts;
pub use into_binds::IntoBinds;
pub use listener::{Accepted, Listener};
#[cfg(unix)]
pub(crate) use open::Inheritance;
pub(crate) use open::{Bound, Nothing, Opened, open};
pub use options::{Keepalive, SocketOptions};
pub use socket::SocketListener;
pub(crate) use sources::{Source, Sources, Turns};
pub use transport::Transport;
pub(crate) use transport::{MaybeDirect, PlainStream};
#[cfg(unix)]
pub(crate) use unix_path::SocketFile;
