//! Accepting on a Unix socket.

use rustix::net::SocketAddrUnix;
use std::{
    ffi::OsStr,
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::Path,
    sync::Arc,
};
use tokio::net::UnixStream;

/// Accepts a client without waiting, and returns it with its path, if it has one.
pub(super) fn accept(socket: impl AsFd) -> io::Result<(UnixStream, Option<Arc<Path>>)> {
    let (stream, peer) = accept_now(socket)?;
    let stream = UnixStream::from_std(stream.into())?;
    let peer = peer.and_then(|peer| {
        let path = peer.path_bytes()?;
        Some(Path::new(OsStr::from_bytes(path)).into())
    });
    Ok((stream, peer))
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn accept_now(socket: impl AsFd) -> io::Result<(rustix::fd::OwnedFd, Option<SocketAddrUnix>)> {
    use rustix::net::{SocketFlags, acceptfrom_with};

    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (stream, peer) = acceptfrom_with(socket, flags)?;
    Ok((stream, peer.and_then(|peer| peer.try_into().ok())))
}

/// For systems without `accept4(2)`.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn accept_now(socket: impl AsFd) -> io::Result<(rustix::fd::OwnedFd, Option<SocketAddrUnix>)> {
    let (stream, peer) = rustix::net::acceptfrom(socket)?;
    rustix::io::ioctl_fionbio(&stream, true)?;
    rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::CLOEXEC)?;
    Ok((stream, peer.and_then(|peer| peer.try_into().ok())))
}
