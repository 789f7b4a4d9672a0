//! Addresses of listeners and clients.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// The address of a listener or of a client.
///
/// Its `Display` output is in the form that [`Server::bind`](crate::Server::bind) accepts:
/// `127.0.0.1:8080`, `unix:/run/app.sock`.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket. A client usually has none. A path that starts with `@` is a name
    /// in Linux's abstract namespace (`unix(7)`).
    Unix(Option<Arc<Path>>),
    /// An address in the format of a custom [`Listener`](crate::Listener).
    Other(Arc<str>),
}

impl Addr {
    /// Returns the IP address, or `None` if this is not a TCP address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|addr| addr.ip())
    }

    /// Returns the port, or `None` if this is not a TCP address.
    pub fn port(&self) -> Option<u16> {
        self.socket_addr().map(|addr| addr.port())
    }

    /// Returns the IP address and port, or `None` if this is not a TCP address.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Addr::Tcp(addr) => Some(*addr),
            _ => None,
        }
    }

    /// Converts an IPv4-mapped IPv6 address such as `::ffff:192.0.2.1` to the IPv4 address, and
    /// returns any other address unchanged.
    ///
    /// The system reports IPv4 clients of a dual-stack socket in the mapped form (RFC 4291,
    /// 2.5.5.2). The addresses of a connection are already converted.
    pub fn to_canonical(self) -> Self {
        match self {
            Addr::Tcp(addr) => Addr::Tcp(canonical(addr)),
            other => other,
        }
    }

    /// Returns the path, or `None` if this is not a Unix socket with a path.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Addr::Unix(path) => path.as_deref(),
            _ => None,
        }
    }
}

/// A real IPv6 address keeps its flow label and its scope.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Addr::Tcp(addr)
    }
}

impl PartialEq<SocketAddr> for Addr {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.socket_addr() == Some(*other)
    }
}

impl PartialEq<Addr> for SocketAddr {
    fn eq(&self, other: &Addr) -> bool {
        other == self
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Tcp(addr) => addr.fmt(f),
            Addr::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Addr::Unix(None) => f.write_str("unix:"),
            Addr::Other(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
