//! What an acceptor is doing.

use super::service::Making;
use crate::BoxError;
use crate::limit::{Acquire, Permit};
use std::io;
use tokio::time::Instant;

/// The states of an acceptor.
///
/// // ## Making => Waiting => (AtLimit => AtStack) => Waiting
/// // ## any => BackingOff => Making
/// // ## any but Making and BackingOff => (Paused | Exhausted) => Waiting
/// // ## any => Sweeping => Swept
///
/// In the first two it has no service and owns no slots. In no state does it hold one scarce thing while it
/// waits for another: at the limit it has nothing of its service, and at its stack no permit.
pub(super) enum State<S> {
    /// Its service is being made, until the deadline.
    Making(Making<S>, Instant),
    /// Its service failed; the next is made at this time.
    BackingOff(Instant),
    /// It waits for a client.
    Waiting,
    /// A client waits in this slot, and as many connections as there may be are open.
    AtLimit {
        slot: usize,
        acquire: Acquire,
        since: Instant,
    },
    /// A client waits in this slot, and the service is not ready.
    AtStack { slot: usize },
    /// Accepting failed; it is tried again at this slot at this time.
    Exhausted { slot: usize, until: Instant },
    /// It leaves clients in their queues.
    Paused,
    /// It serves the clients that are in its queues already.
    Sweeping,
    /// It has done so.
    Swept,
}

/// What an acceptor waits for.
pub(super) enum Event<S> {
    /// Its assignment changed.
    Assigned,
    /// The time came of what is earliest.
    Time,
    Made(Result<S, BoxError>),
    /// A client may wait in this slot.
    Client(usize, io::Result<()>),
    Permit(usize, Permit, Instant),
    /// The service is ready, for the client in this slot.
    Stack(usize, Result<(), BoxError>),
    /// A user's code panicked.
    Panicked(BoxError),
}
