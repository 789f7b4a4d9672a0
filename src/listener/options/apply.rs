//! Setting options on a socket: only those that were requested, one by one.

use super::SocketOptions;
use crate::error::Explained;
use socket2::{SockRef, Socket};
use std::{fmt::Display, io};

impl SocketOptions {
    /// Sets what a TCP socket needs before it is bound. The hook is called last, so it can change
    /// what the options have set.
    pub(in crate::listener) fn apply_tcp(&self, socket: &Socket, is_v6: bool) -> io::Result<()> {
        if self.reuse_addr {
            set("SO_REUSEADDR", true, "", || socket.set_reuse_address(true))?;
        }
        if self.reuse_port {
            set("SO_REUSEPORT", true, "", || set_reuse_port(socket))?;
        }
        if let (true, Some(only_v6)) = (is_v6, self.only_v6) {
            set("IPV6_V6ONLY", only_v6, "", || socket.set_only_v6(only_v6))?;
        }
        self.apply_unbound(socket, is_v6)?;
        self.apply_listening_tcp(socket, is_v6)?;
        self.run_hook(socket)
    }

    /// Sets the options that a listening TCP socket accepts, wherever it was opened.
    pub(in crate::listener) fn apply_listening_tcp(
        &self,
        socket: &Socket,
        is_v6: bool,
    ) -> io::Result<()> {
        if let (false, Some(tos)) = (is_v6, self.tos) {
            set("IP_TOS", tos, BYTE, || socket.set_tos_v4(most(tos, 255)?))?;
        }
        self.apply_system(socket, is_v6)?;
        self.apply_buffers(socket)?;
        self.apply_connection(socket)
    }

    /// Sets what a Unix socket needs before it is bound.
    #[cfg(unix)]
    pub(in crate::listener) fn apply_unix(&self, socket: &Socket) -> io::Result<()> {
        self.apply_buffers(socket)?;
        self.run_hook(socket)
    }

    pub(in crate::listener) fn apply_buffers(&self, socket: &Socket) -> io::Result<()> {
        if let Some(bytes) = self.recv_buffer {
            set("SO_RCVBUF", bytes, MOST, || {
                socket.set_recv_buffer_size(most(bytes, MOST_BYTES)?)
            })?;
        }
        if let Some(bytes) = self.send_buffer {
            set("SO_SNDBUF", bytes, MOST, || {
                socket.set_send_buffer_size(most(bytes, MOST_BYTES)?)
            })?;
        }
        Ok(())
    }

    /// Sets the options that a connection inherits from its listener on Linux; elsewhere they are
    /// set on the connection.
    pub(in crate::listener) fn apply_connection(&self, socket: &Socket) -> io::Result<()> {
        set("TCP_NODELAY", self.nodelay, "", || {
            socket.set_tcp_nodelay(self.nodelay)
        })?;
        match self.keepalive {
            Some(keepalive) => keepalive.apply(socket),
            None => Ok(()),
        }
    }

    fn run_hook(&self, socket: &Socket) -> io::Result<()> {
        match &self.before_bind {
            Some(hook) => (hook.0)(&SockRef::from(socket))
                .map_err(|error| Explained::error("the `before_bind` hook failed", error)),
            None => Ok(()),
        }
    }
}

#[cfg(unix)]
fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn set_reuse_port(_: &Socket) -> io::Result<()> {
    Err(unsupported())
}

const MOST: &str = "; expected at most 2147483647";
pub(super) const BYTE: &str = "; expected at most 255";

/// The highest number of bytes that fits into the `int` which the system expects.
pub(super) const MOST_BYTES: usize = i32::MAX as usize;

/// Refuses a value that the system would silently reduce.
pub(super) fn most<T: PartialOrd>(value: T, most: T) -> io::Result<T> {
    match value > most {
        true => Err(io::ErrorKind::InvalidInput.into()),
        false => Ok(value),
    }
}

/// Sets one option. An error names the option, its value and what was expected.
pub(super) fn set(
    option: &str,
    value: impl Display,
    advice: &str,
    set: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    set()
        .map_err(|error| Explained::error(format!("cannot set {option} to {value}{advice}"), error))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unsupported() -> io::Error {
    io::ErrorKind::Unsupported.into()
}
