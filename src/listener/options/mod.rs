//! Options of listening sockets and of the sockets that they accept.

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

/// Options of listening sockets and of the connections that they accept.
///
/// Linux passes the options of a connection on from the listening socket, so they are set only once
/// (`tcp(7)`, `socket(7)`).
///
/// An option that is `None` keeps the system's value. If the system lacks or refuses an option, the
/// server does not start, and the error names the option.
///
/// | socket | options that apply |
/// |---|---|
/// | TCP, opened by the server | all but `unix_*` |
/// | TCP, opened elsewhere | those that can be set on a listening socket: `nodelay`, `keepalive`, `user_timeout`, the buffers, `tos`, `tclass`, `device`, `mark`, `congestion`, `notsent_lowat`, `incoming_cpu` |
/// | Unix, opened by the server | `backlog`, the buffers, `unix_*`, [`before_bind`](Self::before_bind) |
/// | Unix, opened elsewhere | the buffers |
///
/// `TCP_DEFER_ACCEPT` and `TCP_FASTOPEN` have no safe interface yet; a
/// [`before_bind`](Self::before_bind) hook can set them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// The number of clients that the kernel lets wait to be accepted. The default is 4096, to
    /// which Linux also limits it unless `net.core.somaxconn` has another value (`listen(2)`).
    pub backlog: u32,
    /// `TCP_NODELAY`: whether small writes are sent at once. The default is true.
    pub nodelay: bool,
    /// `SO_KEEPALIVE` and its times. Unset by default.
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT`: how long sent data may remain unacknowledged before the connection
    /// fails, rounded up to milliseconds. Zero means the kernel's default. Linux only. The default
    /// is the kernel's.
    pub user_timeout: Option<Duration>,
    /// `SO_RCVBUF` in bytes; Linux doubles the value. The default is the kernel's, which adapts.
    pub recv_buffer: Option<usize>,
    /// `SO_SNDBUF` in bytes; Linux doubles the value. The default is the kernel's, which adapts.
    pub send_buffer: Option<usize>,
    /// `SO_REUSEADDR`: whether to listen even if old connections of the port are still in
    /// `TIME_WAIT`. The default is true, except on Windows, where the option has another meaning.
    pub reuse_addr: bool,
    /// `SO_REUSEPORT`: one socket for each acceptor, and room for other processes at the same
    /// address. The kernel distributes clients over all of these sockets. The default is false.
    pub reuse_port: bool,
    /// `IPV6_V6ONLY`: with `Some(false)`, an IPv6 wildcard also accepts IPv4 clients. The default
    /// is the system's, but true for `[::]:PORT` beside an IPv4 address with the same port, and
    /// always for `*:PORT`.
    pub only_v6: Option<bool>,
    /// `IP_TOS`: the type of service of IPv4 packets. The default is the kernel's.
    pub tos: Option<u32>,
    /// `IPV6_TCLASS`: the traffic class of IPv6 packets. Linux only. The default is the kernel's.
    pub tclass: Option<u32>,
    /// `SO_BINDTODEVICE`: the network interface to accept clients from. Linux only. The default is
    /// any.
    pub device: Option<String>,
    /// `SO_MARK`: the mark of the packets, for routing and firewalls. Linux only, requires
    /// `CAP_NET_ADMIN`. Unset by default.
    pub mark: Option<u32>,
    /// `IP_FREEBIND`: whether to bind an address that no interface has yet. Linux only. The default
    /// is false.
    pub freebind: bool,
    /// `IP_TRANSPARENT`, `IPV6_TRANSPARENT`: whether to accept connections to addresses of other
    /// machines, as a TPROXY rule redirects them. Linux only, requires `CAP_NET_ADMIN`. The default
    /// is false.
    pub transparent: bool,
    /// `TCP_CONGESTION`: the congestion control, such as `"bbr"`. Linux only. The default is the
    /// kernel's.
    pub congestion: Option<String>,
    /// `TCP_NOTSENT_LOWAT` in bytes: a connection is writable only while fewer bytes than this are
    /// unsent. Linux only. The default is the kernel's.
    pub notsent_lowat: Option<u32>,
    /// `SO_INCOMING_CPU`: with `reuse_port`, prefer this socket for packets that this CPU handles.
    /// All sockets of the server get the same value, so it is of use with one process per CPU.
    /// Linux only. Unset by default.
    pub incoming_cpu: Option<usize>,
    /// The permission bits of a Unix socket's file, set before clients can connect. The default is
    /// what the process's umask leaves.
    pub unix_mode: Option<u32>,
    /// The user ID that owns a Unix socket's file, set before clients can connect. The default is
    /// that of the process.
    pub unix_owner: Option<u32>,
    /// The group ID of a Unix socket's file, set before clients can connect. The default is that of
    /// the process.
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
    /// Calls `hook` with every socket that the server opens, after its options are set and before
    /// it is bound.
    ///
    /// An error of the hook fails the start. A later hook replaces an earlier one.
    ///
    /// # Example
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
