//! One accepted connection.

use super::{
    BoxIo, ConnectionHandle, ConnectionInfo, ConnectionParts, Draining, EofOnDrain, entry::flag,
    event, open_guard::OpenGuard, phase::Phase, socket::Socket,
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

/// An accepted connection: a stream of bytes, and what is known of it.
///
/// It reads and writes as its stream does. `Io` is the type of that stream: [`BoxIo`] as accepted and
/// in a [`handle`](crate::handle) function, and what layers made of it in between.
///
/// The connection's place under `max_connections` and in the registry goes with the stream: moved
/// into another task or an HTTP upgrade, it counts until it is dropped.
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
    /// Its number: unique in its server, counted from 1.
    pub fn id(&self) -> u64 {
        self.handle.id()
    }

    /// The client: what a PROXY header named, else [`socket_addr`](Self::socket_addr).
    pub fn peer_addr(&self) -> &Addr {
        self.handle.peer_addr()
    }

    /// The other end of the socket: with a proxy in front, the proxy.
    pub fn socket_addr(&self) -> &Addr {
        self.handle.socket_addr()
    }

    /// Names the client that a proxy speaks for; the first to name it is right.
    pub fn set_peer_addr(&mut self, addr: Addr) {
        let _ = self
            .handle
            .entry
            .peer_addr
            .set(Box::new(addr.to_canonical()));
    }

    /// Names the address that the client connected to, as a proxy gives it; the first to name it is
    /// right.
    pub fn set_local_addr(&mut self, addr: Addr) {
        let _ = self
            .handle
            .entry
            .local_addr
            .set(Box::new(addr.to_canonical()));
    }

    /// The address that the listener it came in by listens on; `0.0.0.0` for a wildcard.
    pub fn listener_addr(&self) -> &Addr {
        self.handle.listener_addr()
    }

    /// When it was accepted.
    pub fn accepted_at(&self) -> Instant {
        self.handle.accepted_at()
    }

    /// What was given to [`Server::state`](crate::Server::state) as a `T`.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.handle.state()
    }

    /// What layers left for the handler, such as the facts of a TLS handshake.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The same, to add to.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// Whether a layer has encrypted it.
    pub fn is_secure(&self) -> bool {
        self.handle.is_secure()
    }

    /// For a layer that has encrypted it: says so, and which protocol was agreed on (ALPN, RFC 7301).
    pub fn set_secure(&mut self, negotiated_protocol: Option<&[u8]>) {
        self.handle.entry.set(flag::SECURE);
        if let Some(protocol) = negotiated_protocol {
            self.extensions.insert(NegotiatedProtocol(protocol.into()));
        }
    }

    /// The protocol that the encrypting layer and the client agreed on (ALPN, RFC 7301), such as `h2`.
    pub fn negotiated_protocol(&self) -> Option<&[u8]> {
        self.extensions
            .get::<NegotiatedProtocol>()
            .map(|protocol| &*protocol.0)
    }

    /// Adds a fact that [`ConnectionInfo::labels`] shows: a server name, a user, a state.
    pub fn label(&self, key: &'static str, value: impl Into<String>) {
        let value = value.into();
        let entry = &self.handle.entry;
        let event = event::ConnectionLabelled {
            connection: &self.handle,
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

    /// Keeps `guard` until the connection is over, wherever its stream goes: a place under a limit, a
    /// count that is to go down again.
    pub fn keep(&self, guard: impl Send + 'static) {
        let guard = Box::new(guard);
        let mut cold = self.handle.entry.cold();
        if cold.is_over() {
            // Outside of the lock.
            drop(cold);
            drop(guard);
        } else {
            cold.rare().guards.push(guard);
        }
    }

    /// Resolves when the connection is to finish, at once if that was said already. It does not borrow
    /// the connection. Cancel safe.
    pub fn draining(&self) -> Draining {
        self.handle.draining()
    }

    /// Whether it is to finish.
    pub fn is_draining(&self) -> bool {
        self.handle.is_draining()
    }

    /// Closes it with a reset (RST) instead of an orderly end: the client gets an error, and no
    /// `TIME_WAIT` stays behind. It works through whatever layers wrapped the socket; streams that are
    /// not TCP just close.
    pub fn reset(self) {
        self.handle.reset_on_close();
    }

    /// The view from outside.
    pub fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }

    /// Everything that is known of it now.
    pub fn info(&self) -> ConnectionInfo {
        self.handle.info()
    }

    /// The stream.
    pub fn io(&self) -> &Io {
        &self.io
    }

    /// The stream, to be used past the connection.
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
    /// As there.
    #[cfg(unix)]
    pub fn socket(&self) -> io::Result<std::os::fd::OwnedFd> {
        self.handle.socket()
    }

    /// Returns the process, user and group at the other end of a Unix socket, as
    /// [`ConnectionHandle::peer_cred`] does.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(unix)]
    pub fn peer_cred(&self) -> io::Result<tokio::net::unix::UCred> {
        self.handle.peer_cred()
    }

    /// Sets `TCP_NODELAY`, as [`ConnectionHandle::set_nodelay`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.handle.set_nodelay(nodelay)
    }

    /// Records that the protocol inside marks the ends of its messages, as
    /// [`ConnectionHandle::set_delimited`] does.
    pub fn set_delimited(&self) {
        self.handle.set_delimited();
    }

    /// Puts what `wrap` makes of the stream in its place.
    #[inline]
    pub fn map_io<T>(self, wrap: impl FnOnce(Io) -> T) -> Connection<T> {
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
        self.map_io(|io| EofOnDrain::new(io, &handle))
    }

    /// Returns how long the client may take for a step of its opening, as
    /// [`ConnectionHandle::opening_left`] does.
    pub fn opening_left(&self, limit: Duration) -> Duration {
        self.handle.opening_left(limit)
    }

    /// Splits it into its stream, with which it goes on counting, and the rest.
    pub fn into_parts(self) -> (Io, ConnectionParts) {
        let parts = ConnectionParts {
            handle: self.handle,
            extensions: self.extensions,
        };
        (self.io, parts)
    }

    pub(super) fn from_parts(io: Io, parts: ConnectionParts) -> Self {
        Connection {
            io,
            handle: parts.handle,
            extensions: parts.extensions,
        }
    }

    /// Makes a part of the connection of its own.
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
        self.map_io(BoxIo::new)
    }
}

impl<Io> fmt::Debug for Connection<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

#[derive(Clone)]
struct NegotiatedProtocol(Arc<[u8]>);
