//! Listening TCP and Unix sockets.

use super::{
    Accepted, Listener, SocketOptions,
    queue::{Kind, Queue},
};
use crate::Addr;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    fmt, io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
};

#[cfg(unix)]
use super::unix_path::OwnPath;

/// A listening TCP or Unix socket.
///
/// Made by [`Server::bind`](crate::Server::bind), or of a socket that somebody else opened:
///
/// ```
/// use reagent::{Server, SocketListener};
///
/// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let server = Server::new(SocketListener::try_from(socket)?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SocketListener {
    queue: Queue,
    addr: Addr,
    /// Bound here, to one address, so what it accepts has that address too.
    is_fixed: bool,
    options: Arc<SocketOptions>,
    #[cfg(unix)]
    own_path: Option<Arc<OwnPath>>,
}

impl SocketListener {
    pub(super) fn bind_tcp(addr: SocketAddr, options: &Arc<SocketOptions>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        options.apply_tcp(&socket, addr.is_ipv6())?;
        socket.bind(&addr.into())?;
        let mut listener = Self::listen(socket, options)?;
        listener.is_fixed = !addr.ip().is_unspecified();
        Ok(listener)
    }

    #[cfg(unix)]
    pub(super) fn bind_unix(path: &Path, options: &Arc<SocketOptions>) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        options.apply_buffers(&socket)?;
        let name = path.to_str().and_then(|path| path.strip_prefix('@'));
        let own_path = match name {
            Some(name) => {
                socket.bind(&abstract_name(name)?)?;
                None
            }
            None => Some(Arc::new(OwnPath::bind(&socket, path, options.unix_mode)?)),
        };
        let listener = Self::listen(socket, options)?;
        Ok(SocketListener {
            own_path,
            is_fixed: true,
            ..listener
        })
    }

    fn listen(socket: Socket, options: &Arc<SocketOptions>) -> io::Result<Self> {
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Self::adopt(socket, options)
    }

    /// Takes a socket that listens already, with the options it has.
    pub(super) fn adopt(socket: Socket, options: &Arc<SocketOptions>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let addr = from_sock_addr(&socket.local_addr()?)?;
        let queue = Queue::new(
            socket,
            match addr {
                Addr::Tcp(_) => Kind::Tcp,
                _ => Kind::Unix,
            },
            options,
        );
        Ok(SocketListener {
            queue,
            addr,
            is_fixed: false,
            options: options.clone(),
            #[cfg(unix)]
            own_path: None,
        })
    }

    /// A new socket at the same address.
    fn bind_again(&self) -> io::Result<Box<dyn Listener>> {
        let listener = match &self.addr {
            Addr::Tcp(addr) => Self::bind_tcp(*addr, &self.options)?,
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
        Ok(Box::new(SocketListener {
            queue: self.queue.try_clone()?,
            addr: self.addr.clone(),
            is_fixed: self.is_fixed,
            options: self.options.clone(),
            #[cfg(unix)]
            own_path: self.own_path.clone(),
        }))
    }

    fn try_another(&self) -> Option<io::Result<Box<dyn Listener>>> {
        let can = self.options.reuse_port && matches!(self.addr, Addr::Tcp(_));
        can.then(|| self.bind_again())
    }

    fn try_reopen(&self) -> Option<io::Result<Box<dyn Listener>>> {
        match self.addr {
            Addr::Tcp(_) | Addr::Unix(Some(_)) => Some(self.bind_again()),
            _ => None,
        }
    }
}

impl TryFrom<std::net::TcpListener> for SocketListener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::adopt(listener.into(), &Arc::default())
    }
}

#[cfg(unix)]
impl TryFrom<std::os::unix::net::UnixListener> for SocketListener {
    type Error = io::Error;

    /// The file stays when the server stops: it belongs to who made it.
    fn try_from(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        Self::adopt(listener.into(), &Arc::default())
    }
}

impl fmt::Debug for SocketListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketListener").field(&self.addr).finish()
    }
}

/// A name in Linux' abstract namespace starts with a zero byte (`unix(7)`); elsewhere there is none.
#[cfg(unix)]
fn abstract_name(name: &str) -> io::Result<SockAddr> {
    if cfg!(target_os = "linux") {
        SockAddr::unix(format!("\0{name}"))
    } else {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only Linux has abstract socket names",
        ))
    }
}

/// What the system says of a socket's address, in our words.
pub(super) fn from_sock_addr(addr: &SockAddr) -> io::Result<Addr> {
    if let Some(addr) = addr.as_socket() {
        return Ok(Addr::Tcp(addr));
    }
    #[cfg(unix)]
    if addr.is_unix() {
        let name = |name: &[u8]| Path::new(&format!("@{}", String::from_utf8_lossy(name))).into();
        #[cfg(target_os = "linux")]
        if let Some(bytes) = addr.as_abstract_namespace() {
            return Ok(Addr::Unix(Some(name(bytes))));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = name;
        return Ok(Addr::Unix(addr.as_pathname().map(Into::into)));
    }
    let message = "the socket is neither TCP nor Unix";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}
