//! What acceptors and the server share.

mod control;

pub(crate) use control::{Control, Stage};
