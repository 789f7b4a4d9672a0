//! One accepted connection, and what is known of it.

mod draining;
mod entry;
mod handle;
mod io;
mod linger;
mod observer;
mod registry;
mod socket;

pub use draining::Draining;
pub use entry::Phase;
pub(crate) use entry::{Entry, OpenGuard};
pub use handle::{ConnectionHandle, ConnectionInfo};
pub(crate) use io::delegate_io;
pub use io::{BoxIo, IoStream, Transport};
pub use linger::{Linger, linger};
pub use observer::Observer;
pub(crate) use registry::Registry;

use crate::{Addr, Extensions};
use entry::flag;
use socket::Socket;
use std::{any::Any, fmt, io as std_io, sync::Arc, time::Duration};
use tokio::time::Instant;

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

impl Connection {
    pub(crate) fn new(transport: Transport, leg: OpenGuard) -> Self {
        let handle = leg.handle().clone();
        let io = BoxIo::socket(Socket { transport, leg });
        Connection {
            io,
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
        let _ = self.handle.entry.peer_addr.set(Box::new(addr));
    }

    /// Names the address that the client connected to, as a proxy gives it; the first to name it is
    /// right.
    pub fn set_local_addr(&mut self, addr: Addr) {
        let _ = self.handle.entry.local_addr.set(Box::new(addr));
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
        entry
            .server
            .observe(|observer| observer.connection_labelled(&self.handle, key, &value));
        let labels = &mut entry.cold().labels;
        match labels.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => labels.push((key, value)),
        }
    }

    /// Keeps `guard` until the connection is over, wherever its stream goes: a place under a limit, a
    /// count that is to go down again.
    pub fn keep(&self, guard: impl Send + 'static) {
        self.handle.entry.cold().guards.push(Box::new(guard));
    }

    /// Resolves when the connection is to finish, or is over: at once if it is so already. It does not
    /// borrow the connection.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a drain is not missed by a future that is made after it.
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

    pub(crate) fn is_observed(&self) -> bool {
        self.handle.entry.server.is_observed()
    }

    pub(crate) fn notify_upgraded(&self, upgrade: &'static str, took: Duration) {
        let server = &self.handle.entry.server;
        server.observe(|observer| observer.connection_upgraded(&self.handle, upgrade, took));
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.handle.entry.set_phase(phase);
    }
}

impl<Io: IoStream> Connection<Io> {
    /// The address that the client connected to. Free for a listener bound to one address; for a
    /// wildcard it asks the socket (`getsockname(2)`), and an error of that is returned.
    pub fn local_addr(&self) -> std_io::Result<Addr> {
        if let Some(addr) = self.handle.entry.local_addr.get() {
            return Ok((**addr).clone());
        }
        let entry = &self.handle.entry;
        if let Some(addr) = entry.server.fixed_local_addr(entry.listener) {
            return Ok(addr.clone());
        }
        let tcp = (&self.io as &dyn Any)
            .downcast_ref::<BoxIo>()
            .and_then(BoxIo::tcp);
        match tcp {
            Some(stream) => Ok(Addr::Tcp(stream.local_addr()?)),
            None => Ok(match &entry.cold().socket_local_addr {
                Some(addr) => (**addr).clone(),
                None => self.listener_addr().clone(),
            }),
        }
    }

    /// Puts what `wrap` makes of the stream in its place.
    pub fn map_io<T: IoStream>(self, wrap: impl FnOnce(Io) -> T) -> Connection<T> {
        self.keep_local_addr();
        Connection {
            io: wrap(self.io),
            handle: self.handle,
            extensions: self.extensions,
        }
    }

    /// Splits it into its stream, with which it goes on counting, and the rest.
    pub fn into_parts(self) -> (Io, ConnectionParts) {
        self.keep_local_addr();
        (
            self.io,
            ConnectionParts {
                handle: self.handle,
                extensions: self.extensions,
            },
        )
    }

    /// Erases the type of the stream.
    pub fn boxed(self) -> Connection {
        Connection {
            io: BoxIo::new(self.io),
            handle: self.handle,
            extensions: self.extensions,
        }
    }

    /// Once the socket is wrapped nobody can ask it for its address, so one that came in by a wildcard
    /// is asked before. What a proxy names later still goes before it.
    fn keep_local_addr(&self) {
        let entry = &self.handle.entry;
        if entry.local_addr.get().is_none()
            && entry.server.fixed_local_addr(entry.listener).is_none()
        {
            if let Ok(addr) = self.local_addr() {
                entry.cold().socket_local_addr = Some(Box::new(addr));
            }
        }
    }
}

impl<Io> fmt::Debug for Connection<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

/// What [`Connection::into_parts`] leaves beside the stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionParts {
    /// The view from outside.
    pub handle: ConnectionHandle,
    /// What layers left.
    pub extensions: Extensions,
}

impl ConnectionParts {
    /// Puts a connection together again, of the stream or of what became of it.
    pub fn with_io<Io>(self, io: Io) -> Connection<Io> {
        Connection {
            io,
            handle: self.handle,
            extensions: self.extensions,
        }
    }
}

#[derive(Clone)]
struct NegotiatedProtocol(Arc<[u8]>);
