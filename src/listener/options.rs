//! Options of listening sockets and of the sockets they accept.

use socket2::{Socket, TcpKeepalive};
use std::{io, time::Duration};

/// Options of a listening socket. Linux hands those of a connection on to every socket it accepts, so
/// they are set once (`tcp(7)`, `socket(7)`).
///
/// Unix sockets use `backlog`, `unix_mode` and the buffer sizes.
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
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged before the connection fails.
    /// Linux only, in milliseconds. Default the kernel's.
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
    /// `IPV6_V6ONLY`: `Some(false)` takes IPv4 clients too on an IPv6 wildcard. Default the system's.
    pub only_v6: Option<bool>,
    /// `IP_TOS`: the type of service of IPv4 packets. Default the kernel's.
    pub tos: Option<u32>,
    /// `SO_BINDTODEVICE`: take clients of this interface only. Linux only. Default any.
    pub device: Option<String>,
    /// `SO_MARK`: the mark of the packets, for routing and firewalls. Linux only, needs
    /// `CAP_NET_ADMIN`. Default none.
    pub mark: Option<u32>,
    /// `IP_FREEBIND`: bind an address that no interface has yet. Linux only. Default false.
    pub freebind: bool,
    /// Permission bits of a Unix socket's file; the file never has more than these. Default what the
    /// process's umask leaves.
    pub unix_mode: Option<u32>,
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
            device: None,
            mark: None,
            freebind: false,
            unix_mode: None,
        }
    }
}

/// When the kernel asks a silent peer whether it still is there (`tcp(7)`); `None` leaves a time as
/// the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// Silence before the first question, in whole seconds.
    pub idle: Option<Duration>,
    /// Time between questions, in whole seconds.
    pub interval: Option<Duration>,
    /// Unanswered questions until the connection fails.
    pub retries: Option<u32>,
}

impl Keepalive {
    /// Asks after `idle` of silence.
    pub fn after(idle: Duration) -> Self {
        Keepalive {
            idle: Some(idle),
            ..Self::default()
        }
    }
}

impl SocketOptions {
    /// Sets what a listening TCP socket has to have before it is bound.
    pub(super) fn apply_tcp(&self, socket: &Socket, is_v6: bool) -> io::Result<()> {
        socket.set_reuse_address(self.reuse_addr)?;
        #[cfg(unix)]
        socket.set_reuse_port(self.reuse_port)?;
        if let (true, Some(only_v6)) = (is_v6, self.only_v6) {
            socket.set_only_v6(only_v6)?;
        }
        if let (false, Some(tos)) = (is_v6, self.tos) {
            socket.set_tos_v4(tos)?;
        }
        #[cfg(target_os = "linux")]
        self.apply_linux(socket, is_v6)?;
        self.apply_buffers(socket)?;
        self.apply_connection(socket)
    }

    pub(super) fn apply_buffers(&self, socket: &Socket) -> io::Result<()> {
        if let Some(bytes) = self.recv_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        Ok(())
    }

    /// Sets what a connection has of its listener: there on Linux, on the connection elsewhere.
    pub(super) fn apply_connection(&self, socket: &Socket) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(keepalive) = self.keepalive {
            let mut times = TcpKeepalive::new();
            if let Some(idle) = keepalive.idle {
                times = times.with_time(idle);
            }
            if let Some(interval) = keepalive.interval {
                times = times.with_interval(interval);
            }
            #[cfg(not(windows))]
            if let Some(retries) = keepalive.retries {
                times = times.with_retries(retries);
            }
            socket.set_tcp_keepalive(&times)?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn apply_linux(&self, socket: &Socket, is_v6: bool) -> io::Result<()> {
        socket.bind_device(self.device.as_deref().map(str::as_bytes))?;
        if let Some(mark) = self.mark {
            socket.set_mark(mark)?;
        }
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        if is_v6 {
            socket.set_freebind_v6(self.freebind)
        } else {
            socket.set_freebind_v4(self.freebind)
        }
    }
}
