//! What several threads share.

mod mutex;
mod waker;

pub(crate) use mutex::Mutex;
pub(crate) use waker::WakerSlot;
