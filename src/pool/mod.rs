//! The state that acceptors and the server share.

mod assignment;
mod control;
#[expect(
    clippy::module_inception,
    reason = "the folder is named after its main type"
)]
mod pool;
mod reports;
mod shutdown;
mod slots;
mod stage;

pub(crate) use assignment::{Assignment, AssignmentCell, Mode};
pub(crate) use control::Control;
pub(crate) use pool::Pool;
pub(crate) use reports::{Key, News, Report, Reporter};
pub use shutdown::Shutdown;
pub(crate) use slots::distribute;
pub(crate) use stage::{Drain, Stage};
