//! Inspecting sockets that were opened elsewhere.

use crate::{addr::Addr, error::Explained};
use socket2::{Socket, Type};
use std::io;
#[cfg(target_os = "linux")]
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// Returns the address of a socket if it can be listened on, and otherwise an error that names its
/// kind.
pub(super) fn check(socket: &Socket) -> io::Result<Addr> {
    let refuse = |reason: &str| {
        let reason = format!("{reason}; expected a listening stream socket");
        Err(Explained::refusal(io::ErrorKind::InvalidInput, reason))
    };
    match socket.r#type() {
        Ok(Type::STREAM) => {}
        Ok(Type::DGRAM) => return refuse("it is a datagram socket"),
        #[cfg(not(target_os = "redox"))]
        Ok(Type::SEQPACKET) => return refuse("it is a SOCK_SEQPACKET socket"),
        Ok(_) => return refuse("it is not a stream socket"),
        Err(error) => return refuse(&format!("it is not a socket ({error})")),
    }
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    if !socket.is_listener()? {
        return refuse("the socket does not listen");
    }
    local_addr(socket)
}

/// Returns the address of a socket, converted to [`Addr`].
pub(super) fn local_addr(socket: &Socket) -> io::Result<Addr> {
    let addr = socket.local_addr()?;
    if let Some(addr) = addr.as_socket() {
        return Ok(Addr::Tcp(addr));
    }
    #[cfg(unix)]
    if addr.is_unix() {
        #[cfg(target_os = "linux")]
        if let Some(name) = addr.as_abstract_namespace() {
            let path = Path::new(OsStr::from_bytes(&[b"@", name].concat())).into();
            return Ok(Addr::Unix(Some(path)));
        }
        return Ok(Addr::Unix(addr.as_pathname().map(Into::into)));
    }
    let reason = "it is neither a TCP nor a Unix socket; expected one of these";
    Err(Explained::refusal(io::ErrorKind::InvalidInput, reason))
}
