//! The events that an [`Observer`](crate::Observer) receives.
//!
//! Callbacks that report more than their subject receive one of these structs by reference. The
//! structs are `#[non_exhaustive]`: a later version may add fields, and code that reads only the
//! fields it needs still compiles.
//!
//! ```
//! use reagent::{Observer, event};
//!
//! struct Log;
//!
//! impl Observer for Log {
//!     fn accept_failed(&self, event: &event::AcceptFailed<'_>) {
//!         eprintln!("accept on {} failed: {}", event.acceptor.local_addr, event.error);
//!     }
//! }
//! ```

use crate::{
    BoxError,
    addr::Addr,
    connection::{Acceptor, ConnectionHandle, DrainReport},
    listener::ErrorClass,
    outcome::Outcome,
};
use std::{io, time::Duration};

/// A listener that has started, stopped or been reopened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listening<'a> {
    /// The address of the listener. Port 0 is replaced by the port that the system chose.
    pub addr: &'a Addr,
}

/// A listening socket that no longer accepts.
#[derive(Debug)]
#[non_exhaustive]
pub struct ListenerLost<'a> {
    /// The address of the listener.
    pub addr: &'a Addr,
    /// The error of the attempt to accept.
    pub error: &'a io::Error,
}

/// A failed attempt to reopen a lost listening socket.
#[derive(Debug)]
#[non_exhaustive]
pub struct ListenerReopenFailed<'a> {
    /// The address of the listener.
    pub addr: &'a Addr,
    /// The error of the attempt to reopen it.
    pub error: &'a io::Error,
    /// The delay before the next attempt, or `None` if the listener cannot be reopened at all.
    pub retry_in: Option<Duration>,
}

/// An acceptor whose service failed, panicked or could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub struct AcceptorFailed<'a> {
    /// The acceptor.
    pub acceptor: &'a Acceptor,
    /// The error of the service or of its `MakeService`, or the message of the panic.
    pub error: &'a BoxError,
    /// The delay before a new service is made. It is zero if the service was to be replaced by
    /// [`remake_services`](crate::ServerHandle::remake_services): the previous one remains in use.
    pub retry_in: Duration,
}

/// A failed attempt to accept a client.
#[derive(Debug)]
#[non_exhaustive]
pub struct AcceptFailed<'a> {
    /// The acceptor that tried.
    pub acceptor: &'a Acceptor,
    /// The error of the listener.
    pub error: &'a io::Error,
    /// What the error affects, and so how the acceptor proceeds.
    pub class: ErrorClass,
}

/// The beginning of an exhaustion: the process or the system lacks descriptors or memory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exhausted<'a> {
    /// The first acceptor that was affected. Others that follow cause no event.
    pub acceptor: &'a Acceptor,
    /// The error of the attempt to accept.
    pub error: &'a io::Error,
}

/// The end of an exhaustion.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExhaustionEnded {
    /// The time since [`Exhausted`] was reported.
    pub lasted: Duration,
    /// The number of clients that were accepted and closed at once because there were no
    /// descriptors.
    pub turned_away: u64,
}

/// The end of a wait at `max_connections`.
#[derive(Debug)]
#[non_exhaustive]
pub struct LimitWaited<'a> {
    /// The acceptor that waited.
    pub acceptor: &'a Acceptor,
    /// The duration of the wait.
    pub waited: Duration,
}

/// A label that was set on a connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionLabelled<'a> {
    /// The connection.
    pub connection: &'a ConnectionHandle,
    /// The key of the label.
    pub key: &'static str,
    /// The value of the label. It may originate from the client.
    pub value: &'a str,
}

/// A connection that a limit would have refused, delayed or ended, had it not been in a dry run.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionSpared<'a> {
    /// The connection.
    pub connection: &'a ConnectionHandle,
    /// The layer of the limit, such as `timeout`.
    pub layer: &'static str,
    /// The reason or kind that the outcome would have had, such as `first byte`.
    pub reason: &'a str,
}

/// A completed [upgrade](crate::Upgrade) of a connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionUpgraded<'a> {
    /// The connection.
    pub connection: &'a ConnectionHandle,
    /// The [name](crate::Upgrade::name) of the upgrade, such as `tls handshake`.
    pub upgrade: &'static str,
    /// The duration of the upgrade, including the time spent waiting for the client.
    pub took: Duration,
}

/// A connection that is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionEnded<'a> {
    /// The connection.
    pub connection: &'a ConnectionHandle,
    /// How the connection ended. The outcome is final.
    pub outcome: &'a Outcome,
}

/// The beginning of the lame duck stage of a [`Shutdown`](crate::Shutdown).
#[derive(Debug)]
#[non_exhaustive]
pub struct LameDuckStarted {
    /// The time until the drain, unless something brings it forward.
    pub lasts: Duration,
}

/// A successor that takes over.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandedOver {
    /// The ID of its process, if the system tells, as this process sees it.
    pub process: Option<u32>,
}

/// A successor that could not take over.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandoverFailed<'a> {
    /// The problem.
    pub reason: &'a str,
}

/// The beginning of a drain.
#[derive(Debug)]
#[non_exhaustive]
pub struct DrainStarted {
    /// The number of open connections, which are about to be notified.
    pub open: usize,
}

/// Any event, as received by a closure that was passed to [`observer_fn`](crate::observer_fn).
///
/// There is a variant for each callback of [`Observer`](crate::Observer).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// See [`Observer::listener_started`](crate::Observer::listener_started).
    ListenerStarted(&'a Listening<'a>),
    /// See [`Observer::listener_lost`](crate::Observer::listener_lost).
    ListenerLost(&'a ListenerLost<'a>),
    /// See [`Observer::listener_reopen_failed`](crate::Observer::listener_reopen_failed).
    ListenerReopenFailed(&'a ListenerReopenFailed<'a>),
    /// See [`Observer::listener_reopened`](crate::Observer::listener_reopened).
    ListenerReopened(&'a Listening<'a>),
    /// See [`Observer::listener_stopped`](crate::Observer::listener_stopped).
    ListenerStopped(&'a Listening<'a>),
    /// See [`Observer::acceptor_started`](crate::Observer::acceptor_started).
    AcceptorStarted(&'a Acceptor),
    /// See [`Observer::acceptor_failed`](crate::Observer::acceptor_failed).
    AcceptorFailed(&'a AcceptorFailed<'a>),
    /// See [`Observer::acceptor_stopped`](crate::Observer::acceptor_stopped).
    AcceptorStopped(&'a Acceptor),
    /// See [`Observer::accept_failed`](crate::Observer::accept_failed).
    AcceptFailed(&'a AcceptFailed<'a>),
    /// See [`Observer::exhausted`](crate::Observer::exhausted).
    Exhausted(&'a Exhausted<'a>),
    /// See [`Observer::exhaustion_ended`](crate::Observer::exhaustion_ended).
    ExhaustionEnded(&'a ExhaustionEnded),
    /// See [`Observer::limit_reached`](crate::Observer::limit_reached).
    LimitReached(&'a Acceptor),
    /// See [`Observer::limit_waited`](crate::Observer::limit_waited).
    LimitWaited(&'a LimitWaited<'a>),
    /// See [`Observer::connection_started`](crate::Observer::connection_started).
    ConnectionStarted(&'a ConnectionHandle),
    /// See [`Observer::connection_labelled`](crate::Observer::connection_labelled).
    ConnectionLabelled(&'a ConnectionLabelled<'a>),
    /// See [`Observer::connection_spared`](crate::Observer::connection_spared).
    ConnectionSpared(&'a ConnectionSpared<'a>),
    /// See [`Observer::connection_upgraded`](crate::Observer::connection_upgraded).
    ConnectionUpgraded(&'a ConnectionUpgraded<'a>),
    /// See [`Observer::connection_ended`](crate::Observer::connection_ended).
    ConnectionEnded(&'a ConnectionEnded<'a>),
    /// See [`Observer::handed_over`](crate::Observer::handed_over).
    HandedOver(&'a HandedOver),
    /// See [`Observer::handover_failed`](crate::Observer::handover_failed).
    HandoverFailed(&'a HandoverFailed<'a>),
    /// See [`Observer::lame_duck_started`](crate::Observer::lame_duck_started).
    LameDuckStarted(&'a LameDuckStarted),
    /// See [`Observer::drain_started`](crate::Observer::drain_started).
    DrainStarted(&'a DrainStarted),
    /// See [`Observer::drain_ended`](crate::Observer::drain_ended).
    DrainEnded(&'a DrainReport),
}
