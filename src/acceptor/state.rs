//! The state of an acceptor.

use super::service::Making;
use crate::BoxError;
use crate::limit::{AcquirePlace, Admission};
use std::io;
use tokio::time::Instant;

/// The states of an acceptor.
///
/// // ## Making => Waiting => (AtLimit => AtStack) => Waiting
/// // ## any => BackingOff => Making
/// // ## any but Making and BackingOff => (Paused | Exhausted) => Waiting
/// // ## any => Sweeping => Swept
///
/// In the first two states it has no service and owns no slots, unless its service is being
/// replaced on request. In no state does it hold one scarce thing while it waits for another: at the
/// limit it has nothing of its service, and at its stack it has no place under the limit.
pub(super) enum State<S> {
    /// The service is being made, until the deadline.
    Making(Making<S>, Instant),
    /// The service failed. The next one is made at this time.
    BackingOff(Instant),
    /// It waits for a client.
    Waiting,
    /// A client waits in this slot, and the maximum number of connections is open.
    AtLimit {
        slot: usize,
        acquire: AcquirePlace,
        since: Instant,
    },
    /// A client waits in this slot, and the service is not ready.
    AtStack { slot: usize },
    /// Accepting failed. This slot is tried again at this time.
    Exhausted { slot: usize, until: Instant },
    /// It leaves clients in their queues.
    Paused,
    /// It serves the clients that are already in its queues.
    Sweeping,
    /// It has swept its queues.
    Swept,
}

/// An event that an acceptor waits for.
pub(super) enum Event<S> {
    /// The assignment has changed.
    Assigned,
    /// The earliest deadline has passed.
    Time,
    Made(Result<S, BoxError>),
    /// A client may wait in this slot.
    Client(usize, io::Result<()>),
    /// The client in this slot may be admitted, after a wait since then.
    Admission(usize, Admission, Instant),
    /// The service is ready for the client in this slot.
    Stack(usize, Result<(), BoxError>),
    /// User code panicked.
    Panicked(BoxError),
}
