//! The file of a Unix socket: made with care, and removed by its maker alone.

use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// Removes the file when the last handle of its listener goes, if it still is the one that was made.
#[derive(Debug)]
pub(super) struct OwnPath {
    path: PathBuf,
    inode: (u64, u64),
}

impl OwnPath {
    /// Binds `socket` to `path`. A file left behind by a server that is gone is replaced; a live one is
    /// an error.
    pub(super) fn bind(socket: &Socket, path: &Path, mode: Option<u32>) -> io::Result<Self> {
        let addr = SockAddr::unix(path)?;
        restrict(socket, mode);
        if let Err(error) = socket.bind(&addr) {
            if error.kind() != io::ErrorKind::AddrInUse || !remove_stale(path)? {
                return Err(error);
            }
            socket.bind(&addr)?;
        }
        let own = OwnPath {
            path: path.to_owned(),
            inode: inode(path)?,
        };
        if let Some(mode) = mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(own)
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // Nobody could be told, and the next server replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// On Linux the file takes the socket's mode, less the umask, so from its first moment it has no more
/// than was asked for (`unix_bind` in the kernel).
fn restrict(socket: &Socket, mode: Option<u32>) {
    if let (true, Some(mode)) = (cfg!(target_os = "linux"), mode) {
        // Where it fails, the file's own mode is set after the bind all the same.
        let _ = socket.try_clone().and_then(|socket| {
            fs::File::from(OwnedFd::from(socket)).set_permissions(fs::Permissions::from_mode(mode))
        });
    }
}

/// Removes a socket's file that nobody listens on, and says whether it did.
fn remove_stale(path: &Path) -> io::Result<bool> {
    let before = inode(path)?;
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    // A live server with a full queue would have a client wait.
    let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    client.set_nonblocking(true)?;
    match client.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => return Ok(false),
    }
    // Another server may have replaced it in the meantime.
    if inode(path)? == before {
        fs::remove_file(path)?;
    }
    Ok(true)
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
