//! The conversions into something to listen on.

use super::Listener;
use crate::addr::Addr;
use socket2::Socket;
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
};

/// Something to listen on: an address to bind, or a socket or listener that is already open.
///
/// | made from | listens on |
/// |---|---|
/// | text, see [`Server::bind`](crate::Server::bind) | the address that the text describes |
/// | `SocketAddr`, `SocketAddrV4`, `SocketAddrV6`, `(IpAddr, u16)`, `([u8; 4], u16)`, [`Addr`] | that address |
/// | `(&str, u16)`, `(String, u16)` | all addresses of that host |
/// | `&Path`, `PathBuf` | a Unix socket; a path that starts with `@` is an abstract name |
/// | `std` and `tokio` `TcpListener` and `UnixListener`, `OwnedFd`, `socket2::Socket` | that socket, which must already be listening |
/// | any [`Listener`], `Box<dyn Listener>` | that listener |
///
/// A socket that is passed in gets those [options](crate::SocketOptions) of the server that can be
/// set on a listening socket. Acceptors share it regardless of `reuse_port`, and the file of a Unix
/// socket is not removed.
pub struct Bind(pub(super) Target);

pub(super) enum Target {
    /// The text as written. It is read when the server starts.
    Text(String),
    Host(String, u16),
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// The error is that of detaching the socket from its owner.
    Socket(io::Result<Socket>),
    Listener(Box<dyn Listener>),
    /// An address that cannot be bound.
    Unbindable(Addr),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Text(text) => f.write_str(text),
            Target::Host(host, port) if host.contains(':') && !host.starts_with('[') => {
                write!(f, "[{host}]:{port}")
            }
            Target::Host(host, port) => write!(f, "{host}:{port}"),
            Target::Tcp(addr) => addr.fmt(f),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
            Target::Socket(socket) => match socket.as_ref().map(super::inspect::local_addr) {
                Ok(Ok(addr)) => addr.fmt(f),
                _ => f.write_str("a socket that was passed in"),
            },
            Target::Listener(listener) => listener.local_addr().fmt(f),
            Target::Unbindable(addr) => addr.fmt(f),
        }
    }
}

impl fmt::Debug for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bind({self})")
    }
}

/// Implements `From` for a list of types, each with an expression for the target.
macro_rules! from {
    ($($(#[$meta:meta])* $type:ty: $value:ident => $target:expr;)+) => {$(
        $(#[$meta])*
        impl From<$type> for Bind {
            fn from($value: $type) -> Self {
                Bind($target)
            }
        }
    )+};
}

from! {
    &str: text => Target::Text(text.to_owned());
    String: text => Target::Text(text);
    &String: text => Target::Text(text.clone());
    SocketAddr: addr => Target::Tcp(addr);
    SocketAddrV4: addr => Target::Tcp(addr.into());
    SocketAddrV6: addr => Target::Tcp(addr.into());
    (IpAddr, u16): addr => Target::Tcp(addr.into());
    (Ipv4Addr, u16): addr => Target::Tcp(addr.into());
    (Ipv6Addr, u16): addr => Target::Tcp(addr.into());
    ([u8; 4], u16): addr => Target::Tcp(addr.into());
    ([u16; 8], u16): addr => Target::Tcp(addr.into());
    (&str, u16): addr => Target::Host(addr.0.to_owned(), addr.1);
    (String, u16): addr => Target::Host(addr.0, addr.1);
    &Path: path => Target::Unix(path.to_owned());
    PathBuf: path => Target::Unix(path);
    &PathBuf: path => Target::Unix(path.clone());
    &Addr: addr => match addr {
        Addr::Tcp(addr) => Target::Tcp(*addr),
        Addr::Unix(Some(path)) => Target::Unix(path.to_path_buf()),
        Addr::Unix(None) | Addr::Other(_) => Target::Unbindable(addr.clone()),
    };
    Box<dyn Listener>: listener => Target::Listener(listener);
    Socket: socket => Target::Socket(Ok(socket));
    std::net::TcpListener: listener => Target::Socket(Ok(listener.into()));
    tokio::net::TcpListener: listener => Target::Socket(listener.into_std().map(Into::into));
    #[cfg(unix)]
    std::os::unix::net::UnixListener: listener => Target::Socket(Ok(listener.into()));
    #[cfg(unix)]
    tokio::net::UnixListener: listener => Target::Socket(listener.into_std().map(Into::into));
    #[cfg(unix)]
    std::os::fd::OwnedFd: fd => Target::Socket(Ok(fd.into()));
}

impl From<Addr> for Bind {
    fn from(addr: Addr) -> Self {
        Bind::from(&addr)
    }
}

impl<L: Listener> From<L> for Bind {
    fn from(listener: L) -> Self {
        Bind(Target::Listener(Box::new(listener)))
    }
}

/// An alias for the arguments of [`Server::bind`](crate::Server::bind): anything that converts into
/// a [`Bind`], or an array, slice or vector of such values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an address to listen on",
    label = "not an address",
    note = "expected text such as \"127.0.0.1:80\" or \"unix:/run/app.sock\", a `SocketAddr`, a path, an opened listener, or a list of these"
)]
pub trait IntoBinds {
    /// Converts into a list, in the same order.
    fn into_binds(self) -> Vec<Bind>;
}

impl<T: Into<Bind>> IntoBinds for T {
    fn into_binds(self) -> Vec<Bind> {
        vec![self.into()]
    }
}

impl<T: Into<Bind>, const N: usize> IntoBinds for [T; N] {
    fn into_binds(self) -> Vec<Bind> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Bind>> IntoBinds for Vec<T> {
    fn into_binds(self) -> Vec<Bind> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<Bind> + Clone> IntoBinds for &[T] {
    fn into_binds(self) -> Vec<Bind> {
        self.iter().cloned().map(Into::into).collect()
    }
}

impl<T: Into<Bind> + Clone, const N: usize> IntoBinds for &[T; N] {
    fn into_binds(self) -> Vec<Bind> {
        self.as_slice().into_binds()
    }
}

impl<T: Into<Bind> + Clone> IntoBinds for &Vec<T> {
    fn into_binds(self) -> Vec<Bind> {
        self.as_slice().into_binds()
    }
}
