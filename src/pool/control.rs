//! What a server is to do, and the stage of its life.

use crate::{connection::DrainReport, error::Error};
use std::sync::Arc;
use tokio::time::Instant;

/// The maximum number of acceptors per address. More would be a mistake, since each is a task and
/// perhaps a socket.
const MOST_ACCEPTORS: usize = 1024;

/// What the users of a server requested. The supervisor implements it.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    acceptors: usize,
    pub(crate) paused: bool,
    /// The number of times that every service was to be made anew.
    pub(crate) remakes: u64,
    /// The number of changes.
    pub(crate) version: u64,
    pub(crate) stage: Stage,
}

/// // ## Running => Draining => Stopped
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Running,
    Draining(Drain),
    Stopped(DrainReport, Option<Arc<Error>>),
}

#[derive(Clone, Debug)]
pub(crate) struct Drain {
    /// When the remaining connections are aborted; `None` means never.
    pub(crate) deadline: Option<Instant>,
    /// Whether clients in the queues are still served.
    pub(crate) sweep: bool,
    /// The number of connections that had ended when the drain began.
    pub(crate) over: u64,
    /// The reason, if nobody requested the drain.
    pub(crate) error: Option<Arc<Error>>,
}

impl Control {
    pub(crate) fn new(acceptors: usize) -> Self {
        Control {
            acceptors: acceptors.min(MOST_ACCEPTORS),
            paused: false,
            remakes: 0,
            version: 1,
            stage: Stage::Running,
        }
    }

    pub(crate) fn set_acceptors(&mut self, acceptors: usize) {
        self.acceptors = acceptors.min(MOST_ACCEPTORS);
    }

    /// Returns the number of acceptors to run. At 0, one acceptor remains and waits, to look after
    /// the queue.
    pub(crate) fn acceptors(&self) -> usize {
        self.acceptors.max(1)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused || self.acceptors == 0
    }
}
