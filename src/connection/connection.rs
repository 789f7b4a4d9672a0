//! An accepted connection.

use super::{
    BoxIo, ConnectionHandle, ConnectionInfo, ConnectionParts, Draining, EofOnDrain, Rate,
    entry::flag, event, open_guard::OpenGuard, phase::Phase, socket::Socket,
};
use crate::io::{BoxedStream, IoStream, delegate_io};
use crate::{addr::Addr, extensions::Extensions};
use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{io::AsyncBufRead, time::Instant};

/// An accepted connection: a stream of bytes, and what is known about it.
///
/// Reads and writes go to its stream, of type `Io`. That is [`BoxIo`] for a connection that was
/// just accepted and in a [`handle`](crate::handle) function; layers in between may change it.
/// Dropping the connection closes it.
///
/// A connection counts towards `max_connections`, and is listed by its server, until its stream is
/// dropped, even if the stream was moved into another task or an HTTP upgrade.
pub struct Connection<Io = BoxIo> {
    io: Io,
    handle: ConnectionHandle,
    extensions: Extensions,
}

delegate_io!(impl[Io: IoStream] for Connection<Io> { Connection { io, .. } => io });

impl<Io: IoStream + AsyncBufRead> AsyncBufRead for Connection<Io> {
    #[inline]
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().io).poll_fill_buf(cx)
    }

    #[inline]
    fn consume(self: Pin<&mut Self>, n: usize) {
        Pin::new(&mut self.get_mut().io).consume(n);
    }
}

impl Connection {
    pub(super) fn new(guard: OpenGuard, other: Option<BoxedStream>) -> Self {
        let handle = guard.handle().clone();
        Connection {
            io: BoxIo::socket(Socket::new(guard, other)),
            handle,
            extensions: Extensions::default(),
        }
    }
}

impl<Io> Connection<Io> {
    /// Returns the number of the connection. Numbers are unique within a server and start at 1.
    pub fn id(&self) -> u64 {
        self.handle.id()
    }

    /// Returns the address of the client: the one that a PROXY header gave, or else
    /// [`socket_addr`](Self::socket_addr).
    pub fn peer_addr(&self) -> &Addr {
        self.handle.peer_addr()
    }

    /// Returns the address of the other end of the socket. Behind a proxy, this is the proxy.
    pub fn socket_addr(&self) -> &Addr {
        self.handle.socket_addr()
    }

    /// Sets the effective address of the client, as reported by a proxy. Only the first call has an
    /// effect.
    pub fn set_peer_addr(&mut self, addr: Addr) {
        let _ = self
            .handle
            .entry
            .peer_addr
            .set(Box::new(addr.to_canonical()));
    }

    /// Sets the address that the client connected to, as reported by a proxy. Only the first call
    /// has an effect.
    pub fn set_local_addr(&mut self, addr: Addr) {
        let _ = self
            .handle
            .entry
            .local_addr
            .set(Box::new(addr.to_canonical()));
    }

    /// Returns the address of the listener that accepted the connection. For a wildcard, this is
    /// `0.0.0.0` or `[::]`.
    pub fn listener_addr(&self) -> &Addr {
        self.handle.listener_addr()
    }

    /// Returns the [label](crate::Bind::label) of the listener that accepted the connection.
    pub fn listener_label(&self) -> Option<&str> {
        self.handle.listener_label()
    }

    /// Returns the time at which the connection was accepted.
    pub fn accepted_at(&self) -> Instant {
        self.handle.accepted_at()
    }

    /// Returns the value of type `T` that was passed to [`Bind::state`](crate::Bind::state) of the
    /// listener, or else to [`Server::state`](crate::Server::state).
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.handle.state()
    }

    /// Returns the values that layers have left for the handler, such as the details of a TLS
    /// handshake.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Returns a mutable reference to the extensions, to add values for inner layers and the
    /// handler.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// Returns whether a layer has encrypted the connection.
    pub fn is_secure(&self) -> bool {
        self.handle.is_secure()
    }

    /// Marks the connection as encrypted, and records the protocol that was negotiated (ALPN, RFC
    /// 7301).
    ///
    /// For layers that encrypt.
    pub fn set_secure(&mut self, negotiated_protocol: Option<&[u8]>) {
        self.handle.entry.set(flag::SECURE);
        if let Some(protocol) = negotiated_protocol {
            self.extensions.insert(NegotiatedProtocol(protocol.into()));
        }
    }

    /// Returns the protocol negotiated by the layer that encrypts (ALPN, RFC 7301), such as `h2`.
    pub fn negotiated_protocol(&self) -> Option<&[u8]> {
        self.extensions
            .get::<NegotiatedProtocol>()
            .map(|protocol| &*protocol.0)
    }

    /// Sets a label: a fact to show in [`ConnectionInfo::labels`], such as a server name or a user.
    ///
    /// A later value for the same key replaces the earlier one.
    pub fn label(&self, key: &'static str, value: impl Into<String>) {
        self.handle.set_label(key, value);
    }

    /// Keeps `guard` until the connection is over, wherever its stream goes.
    ///
    /// The guard may be a permit, for example, or lower a counter when it is dropped. If the
    /// connection is already over, it is dropped at once.
    pub fn keep(&self, guard: impl Send + 'static) {
        let guard = Box::new(guard);
        let mut cold = self.handle.entry.cold();
        if cold.is_over() {
            // Dropped outside the lock.
            drop(cold);
            drop(guard);
        } else {
            cold.rare().guards.push(guard);
        }
    }

    /// Returns a future that resolves when the connection is asked to finish, because the server
    /// drains or [`ConnectionHandle::drain`] was called.
    ///
    /// If that has happened already, it resolves at once. It does not borrow the connection. For a
    /// library that owns the stream, see [`eof_on_drain`](Self::eof_on_drain).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a future that is created later resolves at once.
    pub fn draining(&self) -> Draining {
        self.handle.draining()
    }

    /// Returns whether the connection has been asked to finish.
    pub fn is_draining(&self) -> bool {
        self.handle.is_draining()
    }

    /// Closes the connection with a reset (RST) instead of an orderly end.
    ///
    /// The client gets an error, and no socket stays behind in `TIME_WAIT`. This works through all
    /// layers that wrap the socket. A stream that is not TCP is closed normally.
    pub fn reset(self) {
        self.handle.reset_on_close();
    }

    /// Returns a handle that observes and controls the connection from outside.
    pub fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }

    /// Returns a snapshot of everything that is known about the connection.
    pub fn info(&self) -> ConnectionInfo {
        self.handle.info()
    }

    /// Returns the bytes per second that the connection moves now, as [`ConnectionHandle::rate`]
    /// does.
    pub fn rate(&self) -> Option<Rate> {
        self.handle.rate()
    }

    /// Returns a reference to the stream.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// Returns a mutable reference to the stream.
    pub fn io_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Returns the address that the client connected to, as [`ConnectionHandle::local_addr`] does.
    ///
    /// # Errors
    ///
    /// Returns the error of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.handle.local_addr()
    }

    /// Duplicates the socket's descriptor, as [`ConnectionHandle::socket`] does.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ConnectionHandle::socket`].
    #[cfg(unix)]
    pub fn socket(&self) -> io::Result<std::os::fd::OwnedFd> {
        self.handle.socket()
    }

    /// Returns the process, user and group at the other end of a Unix socket, as
    /// [`ConnectionHandle::peer_cred`] does.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ConnectionHandle::peer_cred`].
    #[cfg(unix)]
    pub fn peer_cred(&self) -> io::Result<tokio::net::unix::UCred> {
        self.handle.peer_cred()
    }

    /// Sets `TCP_NODELAY`, as [`ConnectionHandle::set_nodelay`] does.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ConnectionHandle::set_nodelay`].
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.handle.set_nodelay(nodelay)
    }

    /// Records that the protocol marks the ends of its messages, as
    /// [`ConnectionHandle::set_delimited`] does.
    pub fn set_delimited(&self) {
        self.handle.set_delimited();
    }

    /// Replaces the stream by what `wrap` makes of it.
    #[inline]
    pub fn map_io<T>(self, wrap: impl FnOnce(Io) -> T) -> Connection<T> {
        self.handle.entry.set_opaque();
        self.map_io_passthrough(wrap)
    }

    /// Replaces the stream by a wrapper that passes bytes through without looking at them.
    ///
    /// It is for layers that count bytes, limit them, or record when they come. The kernel can then
    /// still move bytes between the socket and another file directly (`splice(2)`, `sendfile(2)`),
    /// so that they never are in the program's memory. With [`map_io`](Self::map_io), it cannot.
    ///
    /// A direct transfer looks to the wrapper like any read or write, but the bytes in its buffer
    /// are all zero. So the wrapper must pass on the caller's own buffer, or the first part of it,
    /// and must not depend on the bytes, copy them for later, or send them elsewhere. One call is one
    /// write at most: a second one, of the same bytes or of the rest, would send the zeros. A read may
    /// also return other bytes, such as those that were read ahead by
    /// [`PrefixedIo`](crate::PrefixedIo).
    #[inline]
    pub fn map_io_passthrough<T>(self, wrap: impl FnOnce(Io) -> T) -> Connection<T> {
        Connection {
            io: wrap(self.io),
            handle: self.handle,
            extensions: self.extensions,
        }
    }

    /// Makes the client's input end when the server drains, for a library that owns the stream and
    /// has no other way to learn of a drain: see [`EofOnDrain`].
    #[inline]
    pub fn eof_on_drain(self) -> Connection<EofOnDrain<Io>> {
        let handle = self.handle();
        self.map_io_passthrough(|io| EofOnDrain::new(io, &handle))
    }

    /// Returns the time that the client may take for a step of its opening, as
    /// [`ConnectionHandle::opening_left`] does.
    pub fn opening_left(&self, limit: Duration) -> Duration {
        self.handle.opening_left(limit)
    }

    /// Splits the connection into its stream, which keeps it open, and the rest.
    pub fn into_parts(self) -> (Io, ConnectionParts) {
        let parts = ConnectionParts {
            handle: self.handle,
            extensions: self.extensions,
        };
        (self.io, parts)
    }

    pub(super) fn from_parts(io: Io, parts: ConnectionParts) -> Self {
        // The stream may be any.
        parts.handle.entry.set_opaque();
        Connection {
            io,
            handle: parts.handle,
            extensions: parts.extensions,
        }
    }

    /// Creates another part that keeps the connection open.
    pub(crate) fn guard(&self) -> OpenGuard {
        OpenGuard::new(&self.handle)
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.handle.entry.registry().is_observed()
    }

    pub(crate) fn notify_upgraded(&self, upgrade: &'static str, took: Duration) {
        let registry = self.handle.entry.registry();
        let event = event::ConnectionUpgraded {
            connection: &self.handle,
            upgrade,
            took,
        };
        registry.observe(|observer| observer.connection_upgraded(&event));
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.handle.entry.set_phase(phase);
    }
}

impl<Io: IoStream> Connection<Io> {
    /// Erases the type of the stream.
    pub fn boxed(self) -> Connection {
        self.map_io_passthrough(BoxIo::new)
    }
}

/// The same as [`Connection::handle`], without a clone.
impl<Io> AsRef<ConnectionHandle> for Connection<Io> {
    fn as_ref(&self) -> &ConnectionHandle {
        &self.handle
    }
}

impl<Io> fmt::Debug for Connection<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

#[derive(Clone)]
struct NegotiatedProtocol(Arc<[u8]>);
