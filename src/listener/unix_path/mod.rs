//! The file of a Unix socket: made with care, and removed by its maker alone.
//!
//! Between `bind` and `listen` a live server's socket refuses clients as a dead one's does. So servers
//! bind, listen and replace what a dead server left behind under a lock (`flock(2)`) on the directory:
//! it needs no file of its own, and the kernel lifts it when a process dies at whatever point.

use super::SocketOptions;
use crate::error::Explained;
use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

mod access;

/// How often, and after which wait, a start tries a lock that somebody else has. The lock is held for
/// some system calls only: who holds it longer, a second in all, is not one of us.
const TRIES: u32 = 100;
const WAIT: Duration = Duration::from_millis(10);

/// Removes the file when the last handle of its listener goes, if it still is the one that was made.
#[derive(Debug)]
pub(super) struct OwnPath {
    /// Absolute, since the working directory may change.
    path: PathBuf,
    inode: (u64, u64),
}

impl OwnPath {
    /// Binds `socket` to `path` and listens. A file left behind by a server that is gone is replaced; a
    /// live one is an error, and so is a lock that another server has:
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub(super) fn listen(
        socket: &Socket,
        path: &Path,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let addr = SockAddr::unix(path)?;
        let lock = Lock::take(path)?;
        access::restrict(socket, options.unix_mode);
        if let Err(error) = socket.bind(&addr) {
            if error.kind() != io::ErrorKind::AddrInUse {
                return Err(explain_bind(error));
            }
            remove_stale(path, &lock, error)?;
            socket.bind(&addr)?;
        }
        // From here on the file goes if anything fails.
        let own = OwnPath {
            path: std::path::absolute(path)?,
            inode: inode(path)?,
        };
        access::grant(path, own.inode, options)?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
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

/// Calls `open` until nobody else has the lock, for a second at most.
pub(super) async fn when_unlocked<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match open() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(WAIT).await;
            }
            opened => return opened,
        }
    }
    open()
}

/// The lock of a path's directory, or why there is none.
struct Lock(io::Result<fs::File>);

impl Lock {
    fn take(path: &Path) -> io::Result<Self> {
        let dir = match path.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        };
        let lock = fs::File::open(dir).and_then(|dir| {
            flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
            Ok(dir)
        });
        match lock {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Explained::error(
                format!("another process has locked the directory {}", dir.display()),
                error,
            )),
            lock => Ok(Lock(lock)),
        }
    }
}

/// Removes a socket's file that nobody listens on, or says why it stays.
fn remove_stale(path: &Path, lock: &Lock, in_use: io::Error) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let reason = "a file that is no socket has this name; remove it or choose another path";
        return Err(Explained::error(reason, in_use));
    }
    // A live server with a full queue would have a client wait.
    let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    client.set_nonblocking(true)?;
    match client.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => {
            let reason = "another server listens there; stop it or choose another address";
            return Err(Explained::error(reason, in_use));
        }
    }
    if let Err(error) = &lock.0 {
        let reason = format!(
            "the socket of a server that is gone can be replaced only while the directory is locked \
             ({error}); make the directory readable or remove the socket"
        );
        return Err(Explained::error(reason, in_use));
    }
    fs::remove_file(path)
}

fn explain_bind(error: io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => "this user may not make files in the directory",
        io::ErrorKind::NotFound => "the directory does not exist",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only",
        _ => return error,
    };
    Explained::error(advice, error)
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    Ok(identity(&fs::symlink_metadata(path)?))
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
