//! What a server is to do.

use super::Stage;
use std::sync::Arc;

/// The maximum number of acceptors per address. More would be a mistake, since each is a task and
/// perhaps a socket.
const MOST_ACCEPTORS: usize = 1024;

/// What the users of a server requested. The supervisor implements it.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    acceptors: usize,
    pub(crate) paused: bool,
    /// The number of times that all services were to be replaced.
    pub(crate) remakes: u64,
    /// The number of changes.
    pub(crate) version: u64,
    pub(crate) stage: Stage,
    /// The reasons why the server is not ready although it accepts clients.
    pub(crate) holds: Vec<Arc<str>>,
}

impl Control {
    pub(crate) fn new(acceptors: usize) -> Self {
        Control {
            acceptors: acceptors.min(MOST_ACCEPTORS),
            paused: false,
            remakes: 0,
            version: 1,
            stage: Stage::Running,
            holds: Vec::new(),
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
