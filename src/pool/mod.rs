//! The state that acceptors and the server share.

mod assignment;
mod control;
mod group;
#[expect(
    clippy::module_inception,
    reason = "the folder is named after its main type"
)]
mod pool;
mod reports;
mod request;
mod shutdown;
mod slots;
mod stage;

pub(crate) use assignment::{Assignment, AssignmentCell, Mode};
pub(crate) use control::Control;
pub(crate) use group::{Group, OpenedSlot, Reopened};
pub(crate) use pool::Pool;
pub(crate) use reports::{Key, News, Report, Reporter};
pub(crate) use request::Request;
pub use shutdown::Shutdown;
pub(crate) use slots::distribute;
pub(crate) use stage::{Drain, Stage};
