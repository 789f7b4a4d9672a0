//! The requests of handles to the supervisor.

use super::Group;
use crate::error::Error;
use std::sync::Arc;
use tokio::sync::oneshot;

#[derive(Debug)]
pub(crate) enum Request {
    /// Starts to accept at these groups, once all their acceptors have a service.
    Listen {
        groups: Vec<Arc<Group>>,
        done: oneshot::Sender<Result<(), Error>>,
    },
    /// Serves the clients in the queues of these groups, and closes them. `done` is dropped
    /// afterwards.
    Close {
        groups: Vec<Arc<Group>>,
        done: oneshot::Sender<()>,
    },
}
