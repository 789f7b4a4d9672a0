//! The acceptors of a server.

mod accept_loop;
mod admission;
mod backoff;
mod exhaustion;
mod failure;
mod recovery;
mod renewal;
mod service;
mod state;
mod timer;

pub(crate) use accept_loop::{AcceptLoop, OnAccept, Setup};
pub(crate) use backoff::Backoff;
pub(crate) use exhaustion::Exhaustion;
pub(crate) use service::Supply;
