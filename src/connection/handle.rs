//! A connection seen from outside: what it is doing, and the means to end it.

use super::{
    ConnectionInfo, Draining,
    entry::{Entry, flag},
    phase::Phase,
};
use crate::listener::PlainStream;
use crate::{addr::Addr, outcome::Outcome};
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::{
    fmt,
    hash::{Hash, Hasher},
    io,
    sync::{Arc, atomic::Ordering},
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
        &self.entry.registry().listener(self.entry.listener).addr
    }

    /// Returns the address that the client connected to: what a PROXY header named, else the listener's
    /// where that is one address, else what the socket says (`getsockname(2)`), through whatever layers
    /// wrapped it. Once the socket is closed, the address of the listener.
    ///
    /// # Errors
    ///
    /// Returns the error of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<Addr> {
        let entry = &*self.entry;
        if let Some(addr) = entry.local_addr.get() {
            return Ok((**addr).clone());
        }
        let listener = entry.registry().listener(entry.listener);
        let asked = match listener.is_fixed {
            true => None,
            false => entry.socket.ask(|stream| stream.sock_ref().local_addr()),
        };
        match asked.transpose()?.and_then(|addr| addr.as_socket()) {
            Some(addr) => Ok(Addr::Tcp(addr).to_canonical()),
            None => Ok(listener.addr.clone()),
        }
    }

    /// Duplicates the socket's descriptor, through whatever layers wrapped its stream: for options and
    /// facts such as `TCP_NODELAY`, `TCP_INFO` or `SO_ORIGINAL_DST`. Drop it soon: the client sees the
    /// end of the connection when the last descriptor is closed.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the socket is closed or the stream is no socket;
    /// else the error of `dup(2)`.
    #[cfg(unix)]
    pub fn socket(&self) -> io::Result<OwnedFd> {
        let cloned = self
            .entry
            .socket
            .ask(|stream| stream.sock_ref().try_clone());
        cloned.unwrap_or_else(no_socket).map(Into::into)
    }

    /// Returns the process, user and group at the other end of a Unix socket (`SO_PEERCRED`).
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the socket is not a Unix socket,
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it is closed or the stream is no socket.
    #[cfg(unix)]
    pub fn peer_cred(&self) -> io::Result<tokio::net::unix::UCred> {
        let cred = self.entry.socket.ask(PlainStream::peer_cred);
        cred.unwrap_or_else(no_socket)
    }

    /// Sets `TCP_NODELAY`: whether small writes go out at once.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the socket is closed or the stream is no socket;
    /// else the error of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        let set = |stream: &PlainStream| stream.sock_ref().set_tcp_nodelay(nodelay);
        self.entry.socket.ask(set).unwrap_or_else(no_socket)
    }

    /// When it was accepted.
    pub fn accepted_at(&self) -> Instant {
        self.entry.accepted_at
    }

    /// What was given to [`Server::state`](crate::Server::state) as a `T`.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let state = self.entry.registry().state.get::<Arc<T>>();
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
            labels: labels(entry),
        }
    }

    /// Returns what a layer or the handler said of it under this key: see
    /// [`Connection::label`](crate::Connection::label).
    pub fn label(&self, key: &str) -> Option<String> {
        let cold = self.entry.cold();
        let mut labels = cold.rare.iter().flat_map(|rare| &rare.labels);
        let label = labels.find(|(known, _)| *known == key);
        label.map(|(_, value)| value.clone())
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

    /// Records that the client ended its input without the end that the layer's protocol has for it, such
    /// as TLS's `close_notify`, so that nobody can tell whether more was to come. For a layer that
    /// gives its handler an ordinary end of file then.
    ///
    /// A handler that returns `Ok` has the outcome
    /// [`Disconnected(Truncated)`](crate::Disconnect::Truncated), unless its protocol marks the ends of
    /// its messages: see [`set_delimited`](Self::set_delimited).
    pub fn set_truncated(&self) {
        self.entry.set(flag::TRUNCATED);
    }

    /// Returns whether a layer has [recorded](Self::set_truncated) that the client's input was cut short.
    pub fn is_truncated(&self) -> bool {
        self.entry.has(flag::TRUNCATED)
    }

    /// Records that the protocol of the connection marks the ends of its messages, as HTTP does. For a
    /// layer or handler that reports a message cut short as an error of its own: a client that leaves
    /// between two messages has ended well then, whether or not its input was
    /// [truncated](Self::set_truncated).
    ///
    /// This applies to what the server sends, too: see
    /// [`begin_last_write`](Self::begin_last_write).
    pub fn set_delimited(&self) {
        self.entry.set(flag::DELIMITED);
    }

    /// Records that a message to the client may end only with the stream, although the protocol is
    /// [delimited](Self::set_delimited) otherwise: a response to an HTTP/1.0 client, or a tunnel.
    /// This cannot be undone.
    pub fn set_open_ended(&self) {
        self.entry.set(flag::OPEN_ENDED);
    }

    /// Returns whether an encrypting layer whose stream is dropped before it was shut down, such as
    /// by a time limit or an abort, may still send the orderly end of its protocol, such as TLS's
    /// `close_notify`. The layer must write it at once, without waiting.
    ///
    /// It may if the client cannot mistake that for the end of a message that was cut short: the
    /// protocol inside is [delimited](Self::set_delimited) and not
    /// [open-ended](Self::set_open_ended), and the connection is not to be
    /// [reset](Self::reset_on_close). If this returns `true`, an abort no longer fails writes to
    /// the stream.
    pub fn begin_last_write(&self) -> bool {
        let may_write = self.entry.ends_between_messages() && !self.entry.has(flag::RESET);
        if may_write {
            self.entry.set(flag::LAST_WRITE);
        }
        may_write
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
}

fn labels(entry: &Entry) -> Vec<(&'static str, String)> {
    let cold = entry.cold();
    let rare = cold.rare.as_ref();
    rare.map(|rare| rare.labels.clone()).unwrap_or_default()
}

fn no_socket<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotConnected.into())
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
