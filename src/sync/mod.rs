//! Synchronization primitives, on std or on loom, whose models try every interleaving.
//!
//! `tests/loom` compiles this folder and `limit/` with `cfg(loom)`. Everything that they use of
//! threads comes from here.

mod mutex;
#[cfg(loom)]
mod once;
mod open_count;
mod thread;
mod waker;

pub(crate) use mutex::Mutex;
#[cfg(loom)]
pub(crate) use once::OnceLock;
pub(crate) use open_count::OpenCount;
#[cfg(all(loom, test))]
pub(crate) use thread::set_thread_index;
pub(crate) use thread::thread_index;
pub(crate) use waker::WakerSlot;

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, MutexGuard, OnceLock, atomic};
