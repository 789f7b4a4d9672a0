//! A connection seen from outside: what it is doing, and the means to end it.

use super::{
    Draining,
    entry::{Entry, Phase, flag},
};
use crate::{Addr, Outcome, session::Mailbox};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Controls and observes one connection from outside; cheap to clone, and it keeps nothing open.
///
/// From [`ServerHandle::connection`](crate::ServerHandle::connection),
/// [`Connection::handle`](crate::Connection::handle) and the callbacks of an
/// [`Observer`](crate::Observer).
#[derive(Clone)]
pub struct ConnectionHandle {
    pub(crate) entry: Arc<Entry>,
}

impl ConnectionHandle {
    /// The connection's number: unique in its server, counted from 1.
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// The client: what a PROXY header named, else [`socket_addr`](Self::socket_addr).
    pub fn peer_addr(&self) -> &Addr {
        self.entry
            .peer_addr
            .get()
            .map_or(&self.entry.socket_addr, |addr| addr)
    }

    /// The other end of the socket.
    pub fn socket_addr(&self) -> &Addr {
        &self.entry.socket_addr
    }

    /// The address that the listener it came in by listens on.
    pub fn listener_addr(&self) -> &Addr {
        self.entry.server.listener_addr(self.entry.listener)
    }

    /// When it was accepted.
    pub fn accepted_at(&self) -> Instant {
        self.entry.accepted_at
    }

    /// What was given to [`Server::state`](crate::Server::state) as a `T`.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let state = self.entry.server.state.get::<Arc<T>>();
        state.map(|state| &**state)
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.entry.phase()
    }

    /// Bytes that came in by the socket: with TLS, the encrypted ones.
    pub fn bytes_read(&self) -> u64 {
        self.entry.bytes_read.load(Ordering::Relaxed)
    }

    /// Bytes that went out by the socket: with TLS, the encrypted ones.
    pub fn bytes_written(&self) -> u64 {
        self.entry.bytes_written.load(Ordering::Relaxed)
    }

    /// Whether a layer has encrypted it.
    pub fn is_secure(&self) -> bool {
        self.entry.has(flag::SECURE)
    }

    /// Whether it has been told to finish.
    pub fn is_draining(&self) -> bool {
        self.entry.has(flag::DRAINING)
    }

    /// Everything that is known of it now.
    pub fn info(&self) -> ConnectionInfo {
        let entry = &*self.entry;
        ConnectionInfo {
            id: entry.id,
            peer_addr: self.peer_addr().clone(),
            socket_addr: entry.socket_addr.clone(),
            listener_addr: self.listener_addr().clone(),
            accepted_at: entry.accepted_at,
            age: entry.accepted_at.elapsed(),
            phase: entry.phase(),
            bytes_read: self.bytes_read(),
            bytes_written: self.bytes_written(),
            is_secure: self.is_secure(),
            is_draining: self.is_draining(),
            labels: entry.cold().labels.clone(),
        }
    }

    /// Tells it to finish: [`Connection::draining`](crate::Connection::draining) resolves, a
    /// [`Session`](crate::Session) gets `on_drain`. Whether it obeys is up to the handler.
    pub fn drain(&self) {
        self.entry.drain();
    }

    /// Resolves when the connection is to finish, or is over, as
    /// [`Connection::draining`](crate::Connection::draining) does: for code that serves a stream which
    /// has left its handler.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a drain is not missed by a future that is made after it.
    pub fn draining(&self) -> Draining {
        Draining::of(self.clone())
    }

    /// Ends it: the handler's future is dropped at its next poll, which this brings about, and its
    /// outcome is [`Outcome::Aborted`]. A stream that has left its handler fails its reads and writes
    /// with [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted) instead.
    pub fn abort(&self) {
        self.entry.abort();
    }

    /// Has its socket close with a reset, whoever drops it and when, as
    /// [`Connection::reset`](crate::Connection::reset) does at once. For a layer whose stream ends the
    /// connection.
    pub fn reset_on_close(&self) {
        self.entry.set(flag::RESET);
    }

    /// Waits until the connection is over and says how it ended. Cancel safe.
    pub async fn closed(&self) -> Outcome {
        loop {
            let changed = self.entry.changed.notified();
            if self.phase() == Phase::Closed {
                return self.outcome().unwrap_or(Outcome::Aborted);
            }
            changed.await;
        }
    }

    /// How the handler ended, if it has; the connection itself may go on elsewhere.
    pub fn outcome(&self) -> Option<Outcome> {
        self.entry.cold().outcome.clone()
    }

    /// Where messages for its session go; `None` unless a [`Session`](crate::Session) that takes
    /// messages of type `M` serves it.
    pub fn mailbox<M: Send + 'static>(&self) -> Option<Mailbox<M>> {
        let mailbox = self.entry.cold().mailbox.clone()?;
        mailbox
            .downcast::<Mailbox<M>>()
            .ok()
            .map(|mailbox| (*mailbox).clone())
    }
}

/// Equal handles are of one connection, of one server.
impl PartialEq for ConnectionHandle {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }
}

impl Eq for ConnectionHandle {}

impl Hash for ConnectionHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.entry).hash(state);
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}

/// What was known of a connection at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its number.
    pub id: u64,
    /// The client: what a PROXY header named, else `socket_addr`.
    pub peer_addr: Addr,
    /// The other end of the socket.
    pub socket_addr: Addr,
    /// The address that the listener it came in by listens on.
    pub listener_addr: Addr,
    /// When it was accepted.
    pub accepted_at: Instant,
    /// How long ago that was.
    pub age: Duration,
    /// How far it has come.
    pub phase: Phase,
    /// Bytes that came in by the socket.
    pub bytes_read: u64,
    /// Bytes that went out by the socket.
    pub bytes_written: u64,
    /// Whether a layer has encrypted it.
    pub is_secure: bool,
    /// Whether it has been told to finish.
    pub is_draining: bool,
    /// What layers and handlers said of it, in that order: see
    /// [`Connection::label`](crate::Connection::label).
    pub labels: Vec<(&'static str, String)>,
}
