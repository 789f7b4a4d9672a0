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
    connection::{Acceptor, ConnectionHandle},
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
    /// The delay before a new service is made.
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

/// The beginning of a drain.
#[derive(Debug)]
#[non_exhaustive]
pub struct DrainStarted {
    /// The number of open connections, which are about to be notified.
    pub open: usize,
}
