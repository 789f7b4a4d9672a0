//! What acceptors and the server share.

mod assignment;
mod control;
#[expect(clippy::module_inception, reason = "it is what the folder is about")]
mod pool;
mod reports;
mod slots;

pub(crate) use assignment::{Assignment, AssignmentCell, Mode};
pub(crate) use control::{Control, Drain, Stage};
pub(crate) use pool::Pool;
pub(crate) use reports::{Key, News, Report, Reporter};
pub(crate) use slots::distribute;
