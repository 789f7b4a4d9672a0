//! The conversions into something to listen on.

use super::{Listener, SocketOptions, settings::Settings};
use crate::{addr::Addr, error::Error, limit::Limit};
use socket2::Socket;
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
    sync::Arc,
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
///
/// # Settings
///
/// A `Bind` also carries what differs from the other listeners of the server. If it is a name with
/// several addresses, they share these settings, and together have `max_connections` and the
/// reserve.
///
/// ```
/// use reagent::{Bind, Connection, Server, handle};
/// use std::io;
/// use tokio::{io::AsyncWriteExt, net::TcpStream};
/// # use tokio::io::AsyncReadExt;
///
/// struct Greeting(&'static str);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let public = Bind::new("127.0.0.1:0").label("public").state(Greeting("hello\n"));
/// // Ten clients are served here even if 1,000 are connected to the other listener.
/// let admin = Bind::new("127.0.0.1:0").label("admin").state(Greeting("who are you?\n")).reserve(10);
/// let server = Server::bind([public, admin])
///     .max_connections(1_010)
///     .start(handle(async |mut conn: Connection| {
///         let greeting = conn.state().map_or("", |Greeting(text)| text);
///         conn.write_all(greeting.as_bytes()).await
///     }))
///     .await?;
///
/// let admin = server.stats().listeners[1].addr.to_string();
/// let mut greeting = String::new();
/// TcpStream::connect(admin).await?.read_to_string(&mut greeting).await?;
/// assert_eq!(greeting, "who are you?\n");
/// # Ok(())
/// # }
/// ```
pub struct Bind {
    pub(super) target: Target,
    pub(super) settings: Settings,
}

impl Bind {
    /// Creates a `Bind` from an address or a listener, to which settings can be added.
    pub fn new(addr: impl Into<Bind>) -> Self {
        addr.into()
    }

    /// Sets the label of the listener, by which observers, statistics and a `MakeService` know it.
    ///
    /// Labels need not be unique.
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.settings.label = Some(label.into());
        self
    }

    /// Limits the number of connections of this listener that are open at once, in addition to the
    /// limit of the server.
    ///
    /// Clients above the limit wait in the queue of this listener. The default is no limit.
    /// [`ServerHandle::set_listener_max_connections`] changes it while the server runs.
    ///
    /// [`ServerHandle::set_listener_max_connections`]: crate::ServerHandle::set_listener_max_connections
    pub fn max_connections(mut self, max: usize) -> Self {
        self.settings.max_connections = Some(max);
        self
    }

    /// Limits the connections of this listener together with those of other listeners that are
    /// given the same `limit`, which must be a [child](Limit::child) of the
    /// [limit of the server](crate::Server::limit), or be within one.
    ///
    /// [`max_connections`](Self::max_connections) still limits this listener by itself. By default,
    /// only the limit of the server is shared.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{Bind, Limit, Server};
    ///
    /// let limit = Limit::new(10_000);
    /// // A database at two addresses, which leaves room for everybody else.
    /// let database = limit.child(500);
    /// let binds = [
    ///     Bind::new("127.0.0.1:5432").limit(database.clone()),
    ///     Bind::new("unix:/run/database.sock").limit(database),
    ///     Bind::new("127.0.0.1:8080"),
    /// ];
    /// let server = Server::bind(binds).limit(limit);
    /// # drop(server);
    /// ```
    ///
    /// # Errors
    ///
    /// The server does not start, or does not [listen](crate::ServerHandle::listen), if `limit` is
    /// not within that of the server.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.settings.limit = Some(limit);
        self
    }

    /// Reserves `count` places of the [limit of the server](crate::Server::max_connections) for
    /// this listener, such as one for administrators, who must get in when the server is full. If
    /// the listener has a [`limit`](Self::limit) that it shares with others, the places are
    /// reserved in that one.
    ///
    /// The connections of all other listeners have `count` places less. Those of this listener use
    /// the reserved places first, and compete for others when these are taken. The reserve ends with
    /// the last connection of a listener that was closed. Without a limit of the server, this has no
    /// effect. The default is 0.
    ///
    /// The limit is not exceeded if the listener is added to a server that is full: the next places
    /// that become free are reserved. Places that are reserved remain if the limit is lowered to
    /// less than what is in use, or even to 0.
    pub fn reserve(mut self, count: usize) -> Self {
        self.settings.reserve = count;
        self
    }

    /// Changes the options of the listening socket, starting from those of the
    /// [server](crate::Server::options). They do not apply to a custom [`Listener`].
    pub fn options(mut self, change: impl FnOnce(&mut SocketOptions) + Send + 'static) -> Self {
        self.settings.options.push(Box::new(change));
        self
    }

    /// Adds a value that the connections of this listener share. [`Connection::state`] finds it by
    /// its type, before it looks for one of [`Server::state`].
    ///
    /// A second value of the same type replaces the first.
    ///
    /// [`Connection::state`]: crate::Connection::state
    /// [`Server::state`]: crate::Server::state
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.settings.state.insert(Arc::new(state));
        self
    }
}

/// Checks that the connections of these listeners take places of the server's limit.
pub(crate) fn check_limits(binds: &[Bind], server: &Limit) -> Result<(), Error> {
    let is_foreign = |bind: &&Bind| {
        let limit = bind.settings.limit.as_ref();
        limit.is_some_and(|limit| !limit.is_within(server))
    };
    match binds.iter().find(is_foreign) {
        None => Ok(()),
        Some(bind) => Err(Error::address(
            &bind.to_string(),
            "its limit is not within the limit of the server; create it by `Limit::child` of \
             the one that `Server::limit` is given",
        )),
    }
}

impl From<Target> for Bind {
    fn from(target: Target) -> Self {
        Bind {
            target,
            settings: Settings::default(),
        }
    }
}

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
        match &self.target {
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
                $target.into()
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
    &Addr: addr => (match addr {
        Addr::Tcp(addr) => Target::Tcp(*addr),
        Addr::Unix(Some(path)) => Target::Unix(path.to_path_buf()),
        Addr::Unix(None) | Addr::Other(_) => Target::Unbindable(addr.clone()),
    });
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
        Target::Listener(Box::new(listener)).into()
    }
}
