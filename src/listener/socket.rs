//! Listening TCP and Unix sockets.

use super::{
    Accepted, Listener, SocketOptions,
    inspect::check,
    queue::{Kind, Queue},
};
use crate::addr::Addr;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

#[cfg(unix)]
use super::unix_path::OwnPath;
#[cfg(unix)]
use crate::error::Explained;
#[cfg(unix)]
use socket2::SockAddr;
#[cfg(unix)]
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// A listening TCP or Unix socket.
///
/// [`Server::bind`](crate::Server::bind) creates one for each address. Create one yourself to give
/// a socket that was opened elsewhere its own options:
///
/// ```
/// use reagent::{Server, SocketListener, SocketOptions};
///
/// let mut options = SocketOptions::default();
/// options.nodelay = false;
/// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let server = Server::bind("127.0.0.1:0").listen(SocketListener::with_options(socket, options)?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A socket that was opened elsewhere is shared by all acceptors, regardless of `reuse_port`. It is
/// not reopened when it is lost, since it is unknown how it was set up.
pub struct SocketListener {
    // First, so that a path is removed while its socket still accepts clients: a server that starts
    // in between finds the path either in use or gone, and never left behind.
    #[cfg(unix)]
    pub(super) own_path: Option<Arc<OwnPath>>,
    pub(super) queue: Queue,
    pub(super) addr: Addr,
    /// Bound here to a single address, so every accepted connection has that local address.
    pub(super) is_fixed: bool,
    /// Opened elsewhere.
    pub(super) is_adopted: bool,
    /// Another process serves the queue too: a predecessor, or a successor (`inherit.rs`).
    pub(super) is_shared: Arc<AtomicBool>,
    pub(super) options: Arc<SocketOptions>,
}

impl SocketListener {
    /// Adopts a socket that already listens, and sets those of `options` that can be set on a
    /// listening socket: see [`SocketOptions`].
    ///
    /// It accepts anything that converts into a `socket2::Socket`: a listener of `std`, an
    /// `OwnedFd`. Convert a Tokio listener with `into_std`.
    ///
    /// # Errors
    ///
    /// Fails if the socket does not listen, if it is not a TCP or Unix stream socket, or if the
    /// system refuses an option.
    pub fn with_options(socket: impl Into<Socket>, options: SocketOptions) -> io::Result<Self> {
        Self::adopt(socket.into(), &Arc::new(options))
    }

    /// Binds and listens. Also returns the address, with the port that the system chose.
    pub(crate) fn bind_tcp(
        addr: SocketAddr,
        options: &Arc<SocketOptions>,
    ) -> io::Result<(Self, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        options.apply_tcp(&socket, addr.is_ipv6())?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        let local = socket.local_addr()?.as_socket().unwrap_or(addr);
        let listener = Self::new(socket, Addr::Tcp(local), options)?;
        let is_fixed = !addr.ip().is_unspecified();
        Ok((
            SocketListener {
                is_fixed,
                ..listener
            },
            local,
        ))
    }

    /// Binds and listens. [`WouldBlock`](io::ErrorKind::WouldBlock) means that another server has
    /// locked the directory.
    #[cfg(unix)]
    pub(crate) fn bind_unix(path: &Path, options: &Arc<SocketOptions>) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        options.apply_unix(&socket)?;
        let is_shared = Arc::default();
        let own_path = match path.as_os_str().as_bytes().strip_prefix(b"@") {
            Some(name) => {
                socket
                    .bind(&abstract_name(name)?)
                    .map_err(|error| match error.kind() {
                        io::ErrorKind::AddrInUse => Explained::error(
                            "another server has this name; stop it or choose another name",
                            error,
                        ),
                        _ => error,
                    })?;
                socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
                None
            }
            None => Some(Arc::new(OwnPath::listen(
                &socket, path, options, &is_shared,
            )?)),
        };
        let listener = Self::new(socket, Addr::Unix(Some(path.into())), options)?;
        Ok(SocketListener {
            own_path,
            is_fixed: true,
            is_shared,
            ..listener
        })
    }

    /// Adopts a socket that was opened elsewhere.
    pub(super) fn adopt(socket: Socket, options: &Arc<SocketOptions>) -> io::Result<Self> {
        let addr = check(&socket)?;
        match &addr {
            Addr::Tcp(addr) => options.apply_listening_tcp(&socket, addr.is_ipv6())?,
            _ => options.apply_buffers(&socket)?,
        }
        let listener = Self::new(socket, addr, options)?;
        Ok(SocketListener {
            is_adopted: true,
            ..listener
        })
    }

    pub(super) fn new(
        socket: Socket,
        addr: Addr,
        options: &Arc<SocketOptions>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let kind = match &addr {
            Addr::Tcp(_) => Kind::Tcp,
            _ => Kind::Unix,
        };
        Ok(SocketListener {
            #[cfg(unix)]
            own_path: None,
            queue: Queue::new(socket, kind, options),
            addr,
            is_fixed: false,
            is_adopted: false,
            is_shared: Arc::default(),
            options: options.clone(),
        })
    }

    /// Creates another handle to the same queue.
    pub(crate) fn another_handle(&self) -> io::Result<Self> {
        Ok(SocketListener {
            #[cfg(unix)]
            own_path: self.own_path.clone(),
            queue: self.queue.try_clone()?,
            addr: self.addr.clone(),
            is_fixed: self.is_fixed,
            is_adopted: self.is_adopted,
            is_shared: self.is_shared.clone(),
            options: self.options.clone(),
        })
    }

    /// Opens a new socket at the same address.
    fn bind_again(&self) -> io::Result<Box<dyn Listener>> {
        let listener = match &self.addr {
            Addr::Tcp(addr) => Self::bind_tcp(*addr, &self.options)?.0,
            #[cfg(unix)]
            Addr::Unix(Some(path)) => Self::bind_unix(path, &self.options)?,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Box::new(listener))
    }
}

impl Listener for SocketListener {
    fn local_addr(&self) -> Addr {
        self.addr.clone()
    }

    fn is_local_addr_fixed(&self) -> bool {
        self.is_fixed
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.poll_ready(cx)
    }

    fn try_accept(&mut self) -> io::Result<Accepted> {
        self.queue.try_accept()
    }

    fn pending(&mut self) -> Option<bool> {
        self.queue.pending()
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(self.another_handle()?))
    }

    fn refuse_new(&self) -> Duration {
        // Other processes may accept at the socket.
        if self.is_adopted || self.is_shared.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        // First, since a server that starts now would take a socket that refuses for a stale one.
        #[cfg(unix)]
        if let Some(path) = &self.own_path {
            path.remove();
        }
        self.queue.refuse_new()
    }

    fn try_another(&self) -> Option<io::Result<Box<dyn Listener>>> {
        let is_tcp = matches!(self.addr, Addr::Tcp(_));
        let can = self.options.reuse_port && is_tcp && !self.is_adopted;
        can.then(|| self.bind_again())
    }

    fn try_reopen(&self) -> Option<io::Result<Box<dyn Listener>>> {
        (!self.is_adopted).then(|| self.bind_again())
    }

    fn as_socket(&self) -> Option<&SocketListener> {
        Some(self)
    }
}

impl TryFrom<std::net::TcpListener> for SocketListener {
    type Error = io::Error;

    /// Adopts a socket with the default options; [`with_options`](Self::with_options) takes others.
    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::adopt(listener.into(), &Arc::default())
    }
}

#[cfg(unix)]
impl TryFrom<std::os::unix::net::UnixListener> for SocketListener {
    type Error = io::Error;

    /// Adopts a socket with the default options. Its file is left to its owner and not removed.
    fn try_from(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        Self::adopt(listener.into(), &Arc::default())
    }
}

impl fmt::Debug for SocketListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketListener").field(&self.addr).finish()
    }
}

/// A name in Linux's abstract namespace starts with a zero byte (`unix(7)`). Other systems have no
/// such names.
#[cfg(unix)]
fn abstract_name(name: &[u8]) -> io::Result<SockAddr> {
    if name.is_empty() {
        let reason = "a name is missing after unix:@";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    if cfg!(target_os = "linux") {
        SockAddr::unix(OsStr::from_bytes(&[b"\0", name].concat()))
    } else {
        let reason = "only Linux has abstract socket names";
        Err(Explained::refusal(io::ErrorKind::Unsupported, reason))
    }
}
