//! What the parts of a server are told to do, and what stage of its stage it is in.

use crate::{DrainReport, Error};
use std::sync::Arc;
use tokio::time::Instant;

/// More acceptors than this are a mistake: each is a task, and maybe a socket.
const MOST_ACCEPTORS: usize = 1024;

#[derive(Clone, Debug)]
pub(crate) struct Control {
    acceptors: usize,
    pub(crate) paused: bool,
    pub(crate) stage: Stage,
}

/// // ## Running => Draining => Stopped
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Running,
    Draining {
        /// When who is left is aborted; `None` for never.
        deadline: Option<Instant>,
        /// Whether clients in the queues are still served.
        sweep: bool,
        /// How many connections were over when it began.
        over: u64,
        /// Why, if nobody asked for it.
        error: Option<Arc<Error>>,
    },
    Stopped(Result<DrainReport, Arc<Error>>),
}

impl Control {
    pub(crate) fn new(acceptors: usize) -> Self {
        let acceptors = acceptors.min(MOST_ACCEPTORS);
        Control {
            acceptors,
            paused: false,
            stage: Stage::Running,
        }
    }

    pub(crate) fn set_acceptors(&mut self, acceptors: usize) {
        self.acceptors = acceptors.min(MOST_ACCEPTORS);
    }

    /// How many acceptors there are to be: one of none stays and waits, to look after the queue.
    pub(crate) fn acceptors(&self) -> usize {
        self.acceptors.max(1)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused || self.acceptors == 0
    }
}
