//! One TCP connection, with the options of its socket.

use super::establish::establish;
use reagent::Keepalive;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpStream;

/// The options of TCP sockets.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) source_v4: Option<Ipv4Addr>,
    pub(super) source_v6: Option<Ipv6Addr>,
    pub(super) nodelay: bool,
    pub(super) keepalive: Option<Keepalive>,
    pub(super) mark: Option<u32>,
    pub(super) tos: Option<u32>,
    pub(super) before_connect: Option<Hook>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            source_v4: None,
            source_v6: None,
            nodelay: true,
            keepalive: None,
            mark: None,
            tos: None,
            before_connect: None,
        }
    }
}

/// Changes the options of a socket before it is connected.
#[derive(Clone)]
pub(super) struct Hook(pub(super) Arc<BeforeConnect>);

type BeforeConnect = dyn Fn(&SockRef<'_>) -> io::Result<()> + Send + Sync;

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl Options {
    pub(super) async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = nonblocking(Domain::for_address(addr))?;
        self.apply(&SockRef::from(&socket), addr.is_ipv6())?;
        if let Some(source) = self.source(addr)? {
            socket
                .bind(&SocketAddr::new(source, 0).into())
                .map_err(|error| {
                    // The port is any, so this means that none is left.
                    let error = match error.kind() {
                        io::ErrorKind::AddrInUse => io::ErrorKind::AddrNotAvailable.into(),
                        _ => error,
                    };
                    explain(format!("cannot bind to {source}"), &error)
                })?;
        }
        establish(socket, addr).await
    }

    /// Returns the source address for connections to `addr`. Fails if there is one only for the
    /// other family, since the upstream may admit only that address.
    fn source(&self, addr: SocketAddr) -> io::Result<Option<IpAddr>> {
        let (v4, v6) = (
            self.source_v4.map(IpAddr::V4),
            self.source_v6.map(IpAddr::V6),
        );
        let (own, other) = match addr {
            SocketAddr::V4(_) => (v4, v6),
            SocketAddr::V6(_) => (v6, v4),
        };
        match (own, other) {
            (None, Some(other)) => Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("the source address {other} is of the other family"),
            )),
            (own, _) => Ok(own),
        }
    }

    fn apply(&self, socket: &SockRef<'_>, is_v6: bool) -> io::Result<()> {
        if self.nodelay {
            set("TCP_NODELAY", socket.set_tcp_nodelay(true))?;
        }
        if let Some(keepalive) = self.keepalive {
            set("the keepalive times", set_keepalive(socket, keepalive))?;
        }
        if let Some(mark) = self.mark {
            set("SO_MARK", set_mark(socket, mark))?;
        }
        if let Some(tos) = self.tos {
            set("the type of service", set_tos(socket, tos, is_v6))?;
        }
        match &self.before_connect {
            Some(hook) => (hook.0)(socket)
                .map_err(|error| explain("the `before_connect` hook failed", &error)),
            None => Ok(()),
        }
    }
}

/// Returns a TCP socket that does not block.
#[cfg(target_os = "linux")]
fn nonblocking(domain: Domain) -> io::Result<Socket> {
    // A flag, which saves two calls for each connection.
    Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
}

#[cfg(not(target_os = "linux"))]
fn nonblocking(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn set(option: &str, result: io::Result<()>) -> io::Result<()> {
    result.map_err(|error| explain(format!("cannot set {option}"), &error))
}

fn explain(what: impl fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn set_keepalive(socket: &SockRef<'_>, keepalive: Keepalive) -> io::Result<()> {
    // The system counts in whole seconds.
    let seconds = |time: Duration| {
        let is_whole = time.subsec_nanos() == 0;
        Duration::from_secs(time.as_secs().saturating_add(u64::from(!is_whole)))
    };
    let mut times = TcpKeepalive::new();
    if let Some(idle) = keepalive.idle {
        times = times.with_time(seconds(idle));
    }
    #[cfg(not(target_os = "openbsd"))]
    {
        if let Some(interval) = keepalive.interval {
            times = times.with_interval(seconds(interval));
        }
        if let Some(retries) = keepalive.retries {
            times = times.with_retries(retries);
        }
    }
    socket.set_tcp_keepalive(&times)
}

#[cfg(target_os = "linux")]
fn set_mark(socket: &SockRef<'_>, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)
}

#[cfg(not(target_os = "linux"))]
fn set_mark(_: &SockRef<'_>, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn set_tos(socket: &SockRef<'_>, tos: u32, is_v6: bool) -> io::Result<()> {
    match is_v6 {
        true => socket.set_tclass_v6(tos),
        false => socket.set_tos_v4(tos),
    }
}

#[cfg(not(target_os = "linux"))]
fn set_tos(socket: &SockRef<'_>, tos: u32, is_v6: bool) -> io::Result<()> {
    match is_v6 {
        true => Err(io::ErrorKind::Unsupported.into()),
        false => socket.set_tos_v4(tos),
    }
}
