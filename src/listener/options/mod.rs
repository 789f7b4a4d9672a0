//! Options of listening sockets and of the sockets they accept.

mod apply;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
mod hook;
mod keepalive;
#[cfg(target_os = "linux")]
mod linux;

pub use keepalive::Keepalive;

use hook::Hook;
use socket2::SockRef;
use std::{io, sync::Arc, time::Duration};

/// Options of a listening socket. Linux hands those of a connection on to every socket it accepts, so
/// they are set once (`tcp(7)`, `socket(7)`).
///
/// Only options that were asked for are set; one that the system does not have or refuses fails the
/// start with an error that names it.
///
/// | socket | options that apply |
/// |---|---|
/// | TCP, opened by the server | all but `unix_*` |
/// | TCP, opened elsewhere | those that a listening socket can be given: `nodelay`, `keepalive`, `user_timeout`, the buffers, `tos`, `tclass`, `device`, `mark`, `congestion`, `notsent_lowat`, `incoming_cpu` |
/// | Unix, opened by the server | `backlog`, the buffers, `unix_*`, [`before_bind`](Self::before_bind) |
/// | Unix, opened elsewhere | the buffers |
///
/// `TCP_DEFER_ACCEPT` and `TCP_FASTOPEN` have no safe interface yet; a
/// [`before_bind`](Self::before_bind) hook can set them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Clients the kernel lets wait to be accepted. Default 4096, which is also what Linux cuts it to
    /// unless `net.core.somaxconn` says otherwise (`listen(2)`).
    pub backlog: u32,
    /// `TCP_NODELAY`: small writes go out at once. Default true.
    pub nodelay: bool,
    /// `SO_KEEPALIVE` and its times. Default none.
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged before the connection fails,
    /// rounded up to milliseconds; zero means the kernel's default. Linux only. Default the kernel's.
    pub user_timeout: Option<Duration>,
    /// `SO_RCVBUF` in bytes; Linux doubles it. Default the kernel's, which adapts.
    pub recv_buffer: Option<usize>,
    /// `SO_SNDBUF` in bytes; Linux doubles it. Default the kernel's, which adapts.
    pub send_buffer: Option<usize>,
    /// `SO_REUSEADDR`: listen although old connections of the port are still in `TIME_WAIT`. Default
    /// true, except on Windows, where it means another thing.
    pub reuse_addr: bool,
    /// `SO_REUSEPORT`: a socket for each acceptor, and room for other processes at the same address;
    /// the kernel spreads clients over them. Default false.
    pub reuse_port: bool,
    /// `IPV6_V6ONLY`: `Some(false)` takes IPv4 clients too on an IPv6 wildcard. Default the system's,
    /// but `true` for `[::]:PORT` beside an IPv4 address of the same port, and always for `*:PORT`.
    pub only_v6: Option<bool>,
    /// `IP_TOS`: the type of service of IPv4 packets. Default the kernel's.
    pub tos: Option<u32>,
    /// `IPV6_TCLASS`: the traffic class of IPv6 packets. Linux only. Default the kernel's.
    pub tclass: Option<u32>,
    /// `SO_BINDTODEVICE`: take clients of this interface only. Linux only. Default any.
    pub device: Option<String>,
    /// `SO_MARK`: the mark of the packets, for routing and firewalls. Linux only, needs
    /// `CAP_NET_ADMIN`. Default none.
    pub mark: Option<u32>,
    /// `IP_FREEBIND`: bind an address that no interface has yet. Linux only. Default false.
    pub freebind: bool,
    /// `IP_TRANSPARENT`, `IPV6_TRANSPARENT`: take connections to addresses that are not this
    /// machine's, as a TPROXY rule hands them over. Linux only, needs `CAP_NET_ADMIN`. Default false.
    pub transparent: bool,
    /// `TCP_CONGESTION`: the congestion control, such as `"bbr"`. Linux only. Default the kernel's.
    pub congestion: Option<String>,
    /// `TCP_NOTSENT_LOWAT` in bytes: a connection is writable only while less than this is unsent.
    /// Linux only. Default the kernel's.
    pub notsent_lowat: Option<u32>,
    /// `SO_INCOMING_CPU`: with `reuse_port`, prefer this socket for packets that this CPU handles.
    /// It is one value for all sockets of the server, so it is for one process a CPU. Linux only.
    /// Default none.
    pub incoming_cpu: Option<usize>,
    /// Permission bits of a Unix socket's file, which has them before clients can connect. Default what
    /// the process's umask leaves.
    pub unix_mode: Option<u32>,
    /// User ID that owns a Unix socket's file before clients can connect. Default the process's.
    pub unix_owner: Option<u32>,
    /// Group ID of a Unix socket's file before clients can connect. Default the process's.
    pub unix_group: Option<u32>,
    before_bind: Option<Hook>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            backlog: 4096,
            nodelay: true,
            keepalive: None,
            user_timeout: None,
            recv_buffer: None,
            send_buffer: None,
            reuse_addr: !cfg!(windows),
            reuse_port: false,
            only_v6: None,
            tos: None,
            tclass: None,
            device: None,
            mark: None,
            freebind: false,
            transparent: false,
            congestion: None,
            notsent_lowat: None,
            incoming_cpu: None,
            unix_mode: None,
            unix_owner: None,
            unix_group: None,
            before_bind: None,
        }
    }
}

impl SocketOptions {
    /// Calls `hook` with every socket that the server opens, after its options are set and before it is
    /// bound; an error fails the start. A later hook replaces an earlier one.
    ///
    /// ```
    /// # use reagent::Server;
    /// let server = Server::bind("127.0.0.1:0").options(|options| {
    ///     options.before_bind(|socket| socket.set_ttl_v4(64));
    /// });
    /// ```
    pub fn before_bind(
        &mut self,
        hook: impl Fn(&SockRef<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.before_bind = Some(Hook(Arc::new(hook)));
    }
}
