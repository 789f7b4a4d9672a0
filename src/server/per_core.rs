//! `per_core`: one single-threaded runtime per core.

use crate::{error::Error, pool::Pool};
use std::{io, sync::Arc, thread};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// Makes the runtime of a core, on the core's thread.
pub(super) type MakeRuntime = Arc<dyn Fn(usize) -> io::Result<Builder> + Send + Sync>;

/// The runtimes that acceptors and their connections run on; empty if they run on the caller's
/// runtime.
#[derive(Debug, Default)]
pub(super) struct Cores(Vec<Handle>);

impl Cores {
    /// Starts `count` threads, each with a runtime that ends when the server has stopped.
    pub(super) async fn start(
        count: usize,
        make: &MakeRuntime,
        pool: &Arc<Pool>,
    ) -> Result<Self, Error> {
        let mut handles = Vec::with_capacity(count);
        for number in 0..count {
            let (tell, told) = oneshot::channel();
            let (make, pool) = (make.clone(), pool.clone());
            thread::Builder::new()
                .name(format!("reagent-core-{number}"))
                .spawn(move || {
                    let built = make(number).and_then(|mut builder| builder.enable_all().build());
                    let runtime = match built {
                        Ok(runtime) => runtime,
                        Err(error) => return drop(tell.send(Err(error))),
                    };
                    let _ = tell.send(Ok(runtime.handle().clone()));
                    drop(runtime.block_on(pool.stopped()));
                })
                .map_err(Error::Runtime)?;
            let gone = |_| {
                Err(io::Error::other(
                    "the thread of a core panicked before its runtime was built",
                ))
            };
            handles.push(told.await.unwrap_or_else(gone).map_err(Error::Runtime)?);
        }
        Ok(Cores(handles))
    }

    /// Returns the number of the core on which an acceptor runs.
    pub(super) fn number_of(&self, acceptor: usize) -> usize {
        acceptor % self.0.len().max(1)
    }

    pub(super) fn of(&self, acceptor: usize) -> Option<&Handle> {
        self.0.get(self.number_of(acceptor))
    }
}
