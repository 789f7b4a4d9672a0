//! What several threads share.

mod mutex;
mod open_count;
mod waker;

pub(crate) use mutex::Mutex;
pub(crate) use open_count::OpenCount;
pub(crate) use waker::WakerSlot;
