//! `per_core`: a single-threaded runtime for each core.

use super::Shared;
use crate::Error;
use std::sync::Arc;
use tokio::runtime::{Builder, Handle};

/// The runtimes on which acceptors, and so their connections, run; none for the one of the caller.
#[derive(Debug, Default)]
pub(super) struct Cores(Vec<Handle>);

impl Cores {
    /// Starts `count` threads, each with a runtime that ends when the server has stopped.
    pub(super) fn start(count: usize, shared: &Arc<Shared>) -> Result<Self, Error> {
        let mut handles = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Error::Runtime)?;
            handles.push(runtime.handle().clone());
            let shared = shared.clone();
            std::thread::Builder::new()
                .name(format!("reagent-core-{number}"))
                .spawn(move || drop(runtime.block_on(shared.stopped())))
                .map_err(Error::Runtime)?;
        }
        Ok(Cores(handles))
    }

    pub(super) fn of(&self, acceptor: usize) -> Option<&Handle> {
        self.0.get(acceptor % self.0.len().max(1))
    }
}
