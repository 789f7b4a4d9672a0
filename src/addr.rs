//! Addresses of both families a server listens on, and of what a custom listener invents.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// Where a listener listens, or where a client comes from.
///
/// Prints as it is written in [`Server::bind`](crate::Server::bind): `127.0.0.1:8080`,
/// `unix:/run/app.sock`.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// An IP address and a TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; a client usually has none. A path that starts with `@` is a name
    /// in Linux' abstract namespace (`unix(7)`).
    Unix(Option<Arc<Path>>),
    /// What a [`Listener`](crate::Listener) of one's own calls its addresses.
    Other(Arc<str>),
}

impl Addr {
    /// The IP address, unless this is not a TCP address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|addr| addr.ip())
    }

    /// The port, unless this is not a TCP address.
    pub fn port(&self) -> Option<u16> {
        self.socket_addr().map(|addr| addr.port())
    }

    /// The IP address and port, unless this is not a TCP address.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Addr::Tcp(addr) => Some(*addr),
            _ => None,
        }
    }

    /// Returns the IPv4 address of an IPv4 client of a socket of both families, which the system reports as
    /// `::ffff:192.0.2.1` (RFC 4291, 2.5.5.2); any other address as it is. The addresses of a
    /// connection are in this form.
    pub fn to_canonical(self) -> Self {
        match self {
            Addr::Tcp(addr) => Addr::Tcp(canonical(addr)),
            other => other,
        }
    }

    /// The path of a Unix socket that has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Addr::Unix(path) => path.as_deref(),
            _ => None,
        }
    }
}

/// An IPv6 address of its own keeps its flow and its scope.
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
