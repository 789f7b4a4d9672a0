//! A handle to a connection.

use super::{
    ConnectionInfo, Draining, Rate,
    entry::{Entry, flag},
    event,
    phase::Phase,
};
use crate::listener::PlainStream;
use crate::{
    addr::Addr,
    outcome::{Outcome, Rejected},
};
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::{
    fmt,
    hash::{Hash, Hasher},
    io,
    sync::{Arc, atomic::Ordering},
};
use tokio::time::Instant;

/// Observes and controls one connection from outside. It is cheap to clone and keeps nothing open.
///
/// Handles come from [`ServerHandle::connection`](crate::ServerHandle::connection),
/// [`Connection::handle`](crate::Connection::handle) and the callbacks of an
/// [`Observer`](crate::Observer).
#[derive(Clone)]
pub struct ConnectionHandle {
    pub(crate) entry: Arc<Entry>,
}

impl ConnectionHandle {
    /// Returns the number of the connection. Numbers are unique within a server and start at 1.
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// Returns the address of the client: the one that a PROXY header gave, or else
    /// [`socket_addr`](Self::socket_addr).
    pub fn peer_addr(&self) -> &Addr {
        self.entry
            .peer_addr
            .get()
            .map_or(&self.entry.socket_addr, |addr| addr)
    }

    /// Returns the address of the other end of the socket. Behind a proxy, this is the proxy.
    pub fn socket_addr(&self) -> &Addr {
        &self.entry.socket_addr
    }

    /// Returns the address of the listener that accepted the connection.
    pub fn listener_addr(&self) -> &Addr {
        &self.entry.listener().addr
    }

    /// Returns the [label](crate::Bind::label) of the listener that accepted the connection.
    pub fn listener_label(&self) -> Option<&str> {
        self.entry.listener().label.as_deref()
    }

    /// Returns the address that the client connected to.
    ///
    /// It is the first of these that is known:
    ///
    /// 1. the address that a PROXY header gave,
    /// 2. the address of the listener, if that is a single address and not a wildcard,
    /// 3. the local address of the socket (`getsockname(2)`), even if layers wrap it.
    ///
    /// If the third is needed and the socket is closed, it is the address of the listener.
    ///
    /// # Errors
    ///
    /// Returns the error of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<Addr> {
        let entry = &*self.entry;
        if let Some(addr) = entry.local_addr.get() {
            return Ok((**addr).clone());
        }
        let listener = entry.listener();
        let asked = match listener.is_fixed {
            true => None,
            false => entry.socket.ask(|stream| stream.sock_ref().local_addr()),
        };
        match asked.transpose()?.and_then(|addr| addr.as_socket()) {
            Some(addr) => Ok(Addr::Tcp(addr).to_canonical()),
            None => Ok(listener.addr.clone()),
        }
    }

    /// Duplicates the descriptor of the socket, even if layers wrap its stream.
    ///
    /// Use it for options and facts such as `TCP_NODELAY`, `TCP_INFO` or `SO_ORIGINAL_DST`, and
    /// drop it soon: the client sees the end of the connection only when the last descriptor is
    /// closed.
    ///
    /// # Errors
    ///
    /// Returns [`NotConnected`](io::ErrorKind::NotConnected) if the socket is closed or the stream
    /// is not a socket, and otherwise the error of `dup(2)`.
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
    /// Returns [`Unsupported`](io::ErrorKind::Unsupported) if the socket is not a Unix socket, and
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it is closed or the stream is not a socket.
    #[cfg(unix)]
    pub fn peer_cred(&self) -> io::Result<tokio::net::unix::UCred> {
        let cred = self.entry.socket.ask(PlainStream::peer_cred);
        cred.unwrap_or_else(no_socket)
    }

    /// Sets `TCP_NODELAY`: whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// Returns [`NotConnected`](io::ErrorKind::NotConnected) if the socket is closed or the stream
    /// is not a socket, and otherwise the error of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        let set = |stream: &PlainStream| stream.sock_ref().set_tcp_nodelay(nodelay);
        self.entry.socket.ask(set).unwrap_or_else(no_socket)
    }

    /// Returns the time at which the connection was accepted.
    pub fn accepted_at(&self) -> Instant {
        self.entry.accepted_at
    }

    /// Returns the value of type `T` that was passed to [`Bind::state`](crate::Bind::state) of the
    /// listener, or else to [`Server::state`](crate::Server::state).
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let own = self.entry.listener().state.get::<Arc<T>>();
        let state = own.or_else(|| self.entry.registry().state.get());
        state.map(|state| &**state)
    }

    /// Returns the phase that the connection is in.
    pub fn phase(&self) -> Phase {
        self.entry.phase()
    }

    /// Returns the number of bytes read from the socket. With TLS, these are the encrypted bytes.
    pub fn bytes_read(&self) -> u64 {
        self.entry.bytes_read.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes written to the socket. With TLS, these are the encrypted bytes.
    pub fn bytes_written(&self) -> u64 {
        self.entry.bytes_written.load(Ordering::Relaxed)
    }

    /// Returns the time at which bytes were last read from or written to the socket, rounded down
    /// to a second; at first, the time at which the connection was accepted.
    ///
    /// It is `None` unless [`ServerHandle::track_activity`](crate::ServerHandle::track_activity)
    /// has been called. Bytes from before that call do not count.
    pub fn last_active_at(&self) -> Option<Instant> {
        self.entry.last_active_at()
    }

    /// Returns the bytes per second that the connection moves now, in each direction.
    ///
    /// It is an average from the beginning of the previous second until now, over 1 to 2 seconds.
    /// Seconds are those since the call of
    /// [`ServerHandle::track_activity`](crate::ServerHandle::track_activity), without which it is
    /// `None`. It does not depend on when, how often and by whom the rate is asked for. A
    /// connection that is younger than a second counts as if it had been silent before.
    ///
    /// The rate is exact as long as the server's runtime is on time. If it is blocked for several
    /// seconds, the rate is too low until the second after that.
    ///
    /// All bytes count that [`bytes_read`](Self::bytes_read) and
    /// [`bytes_written`](Self::bytes_written) count, including those that the kernel moves
    /// directly (`splice(2)`, `sendfile(2)`).
    pub fn rate(&self) -> Option<Rate> {
        self.entry.rate()
    }

    /// Returns whether a client waits for a place in a limit that this connection counts towards:
    /// that of the server, that of the listener, or one between them.
    ///
    /// A layer that keeps a connection without need can ask this, and close it.
    pub fn is_place_wanted(&self) -> bool {
        self.entry.listener().places.are_wanted()
    }

    /// Returns whether a layer has encrypted the connection.
    pub fn is_secure(&self) -> bool {
        self.entry.has(flag::SECURE)
    }

    /// Returns whether the connection has been asked to finish.
    pub fn is_draining(&self) -> bool {
        self.entry.hears_drain()
    }

    /// Returns a snapshot of everything that is known about the connection.
    pub fn info(&self) -> ConnectionInfo {
        let entry = &*self.entry;
        ConnectionInfo {
            id: entry.id,
            peer_addr: self.peer_addr().clone(),
            socket_addr: entry.socket_addr.clone(),
            listener_addr: self.listener_addr().clone(),
            listener_label: entry.listener().label.clone(),
            accepted_at: entry.accepted_at,
            age: entry.accepted_at.elapsed(),
            phase: entry.phase(),
            bytes_read: self.bytes_read(),
            bytes_written: self.bytes_written(),
            rate: self.rate(),
            is_secure: self.is_secure(),
            is_draining: entry.has(flag::DRAINING),
            labels: labels(entry),
        }
    }

    /// Returns the value of the label `key`: see [`Connection::label`](crate::Connection::label).
    pub fn label(&self, key: &str) -> Option<String> {
        let cold = self.entry.cold();
        let mut labels = cold.rare.iter().flat_map(|rare| &rare.labels);
        let label = labels.find(|(known, _)| *known == key);
        label.map(|(_, value)| value.clone())
    }

    /// Sets a label, as [`Connection::label`](crate::Connection::label) does.
    pub fn set_label(&self, key: &'static str, value: impl Into<String>) {
        let value = value.into();
        let entry = &self.entry;
        let event = event::ConnectionLabelled {
            connection: self,
            key,
            value: &value,
        };
        entry
            .registry()
            .observe(|observer| observer.connection_labelled(&event));
        let mut cold = entry.cold();
        let labels = &mut cold.rare().labels;
        match labels.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => labels.push((key, value)),
        }
    }

    /// Asks the connection to finish: [`Connection::draining`](crate::Connection::draining)
    /// resolves, and [`on_drain`](crate::Session::on_drain) of a session is called.
    ///
    /// The handler decides whether it complies; [`abort`](Self::abort) does not ask.
    pub fn drain(&self) {
        self.entry.drain();
    }

    /// Returns a future that resolves when the connection is asked to finish or is over.
    ///
    /// It is the same future as [`Connection::draining`](crate::Connection::draining), for code
    /// that serves a stream outside its handler.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a future that is created later resolves at once.
    pub fn draining(&self) -> Draining {
        Draining::of(self.clone())
    }

    /// Ends the connection without waiting for its handler.
    ///
    /// The handler's future is dropped instead of being polled again, and the outcome is
    /// [`Outcome::Aborted`]. If the stream has left its handler, reads and writes fail with
    /// [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted) instead.
    pub fn abort(&self) {
        self.entry.abort();
    }

    /// Ends the connection as [`abort`](Self::abort) does, with the outcome
    /// [`Rejected`](Outcome::Rejected).
    ///
    /// For layers that no longer admit a connection, for example because its client was banned. If
    /// the handler has already ended otherwise than well, its outcome stays.
    pub fn reject(&self, rejected: Rejected) {
        self.entry.end(Outcome::Rejected(rejected));
    }

    /// Makes the socket close with a reset (RST) when it is dropped, wherever that happens.
    ///
    /// For streams of layers, which cannot consume the connection as
    /// [`Connection::reset`](crate::Connection::reset) does.
    pub fn reset_on_close(&self) {
        self.entry.set(flag::RESET);
    }

    /// Records that the client's input may have been cut short: it ended without the closing
    /// message of the layer's protocol, such as TLS's `close_notify`.
    ///
    /// For layers that report an ordinary end of file to the handler in this case.
    ///
    /// If the handler returns `Ok`, the outcome is
    /// [`Disconnected(Truncated)`](crate::Disconnect::Truncated), unless the protocol marks the
    /// ends of its messages: see [`set_delimited`](Self::set_delimited).
    pub fn set_truncated(&self) {
        self.entry.set(flag::TRUNCATED);
    }

    /// Returns whether a layer has recorded that the client's input was
    /// [truncated](Self::set_truncated).
    pub fn is_truncated(&self) -> bool {
        self.entry.has(flag::TRUNCATED)
    }

    /// Records that the protocol marks the ends of its messages, as HTTP does.
    ///
    /// For layers and handlers that report an incomplete message as an error. With this, a client
    /// that leaves between two messages has ended properly, even if its input was
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

    /// Returns whether an encrypting layer may still send the orderly end of its protocol, such as
    /// TLS's `close_notify`, when its stream is dropped without a shutdown, as by a time limit or
    /// an abort. The layer must write it at once, without waiting.
    ///
    /// It may if the client cannot mistake the orderly end for the end of a message that was cut
    /// short: the protocol inside is [delimited](Self::set_delimited) and not
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

    /// Waits until the connection is over, and returns how it ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a future that is created later resolves at once.
    pub async fn closed(&self) -> Outcome {
        loop {
            let changed = self.entry.changed.notified();
            if self.phase() == Phase::Closed {
                return self.outcome().unwrap_or(Outcome::Aborted);
            }
            changed.await;
        }
    }

    /// Returns how the handler ended, or `None` while it runs. The connection may still be open, in
    /// the phase [`Detached`](Phase::Detached).
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

/// Two handles are equal if they belong to the same connection of the same server.
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
