//! The settings of a server, apart from its layers and its handler.

#[cfg(unix)]
use super::Handover;
use super::per_core::MakeRuntime;
use crate::{
    acceptor::OnAccept,
    connection::{OPENING_TIMEOUT, Observer},
    extensions::Extensions,
    limit::Limit,
    listener::{Bind, SocketOptions},
};
use std::{sync::Arc, time::Duration};

/// The settings that do not depend on the types of the layers and the handler.
pub(super) struct Config {
    pub(super) binds: Vec<Bind>,
    pub(super) options: SocketOptions,
    pub(super) limit: Limit,
    pub(super) acceptors: Option<usize>,
    /// Makes the runtimes of a server that has a runtime per core.
    pub(super) per_core: Option<MakeRuntime>,
    pub(super) on_accept: Option<OnAccept>,
    pub(super) state: Extensions,
    pub(super) observers: Vec<Arc<dyn Observer>>,
    pub(super) opening_timeout: Option<Duration>,
    #[cfg(unix)]
    pub(super) handover: Option<Handover>,
}

impl Config {
    pub(super) fn new(binds: Vec<Bind>) -> Self {
        Config {
            binds,
            options: SocketOptions::default(),
            limit: Limit::unlimited(),
            acceptors: None,
            per_core: None,
            on_accept: None,
            state: Extensions::default(),
            observers: Vec::new(),
            opening_timeout: Some(OPENING_TIMEOUT),
            #[cfg(unix)]
            handover: None,
        }
    }

    /// Returns the number of threads to start; 0 for a server that runs on the caller's runtime.
    pub(super) fn cores(&self) -> usize {
        if self.per_core.is_none() {
            return 0;
        }
        // A server that starts paused does not know yet how many acceptors it will have.
        let asked = self.acceptors.filter(|count| *count > 0);
        asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
    }
}
