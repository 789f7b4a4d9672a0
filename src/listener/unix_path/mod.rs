//! The file of a Unix socket: created with care, and removed only by its creator.
//!
//! Between `bind` and `listen`, the socket of a live server refuses clients just like that of a
//! dead one. So servers bind, listen and replace what a dead server left behind under a lock
//! (`flock(2)`) on the directory. The lock needs no file, and the kernel releases it whenever a
//! process dies.

use super::SocketOptions;
use crate::error::Explained;
use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

mod access;

/// How often a start tries a lock that somebody else holds, and how long it waits in between.
/// Servers of this crate hold it only for a few system calls, so a process that holds it for a
/// second is something else.
const TRIES: u32 = 100;
const WAIT: Duration = Duration::from_millis(10);

/// The file of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketFile {
    /// Absolute, since the working directory may change.
    pub(crate) path: PathBuf,
    /// The device and the inode.
    pub(crate) inode: (u64, u64),
}

/// Removes the file with the last handle of its listener, if it is still the file that was created.
#[derive(Debug)]
pub(super) struct OwnPath {
    file: SocketFile,
    /// Another process listens on the socket too. It owns the file.
    is_shared: Arc<AtomicBool>,
}

impl OwnPath {
    /// Binds `socket` to `path` and listens. A file left behind by a dead server is replaced. It is
    /// an error if the server is alive, or if another server holds the lock:
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub(super) fn listen(
        socket: &Socket,
        path: &Path,
        options: &SocketOptions,
        is_shared: &Arc<AtomicBool>,
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
        // From here on, the file is removed if anything fails.
        let own = OwnPath {
            file: SocketFile {
                path: std::path::absolute(path)?,
                inode: inode(path)?,
            },
            is_shared: is_shared.clone(),
        };
        access::grant(path, own.file.inode, options)?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(own)
    }

    /// Takes the word of another process that this is the file of a socket that is bound to `bound`.
    /// No other file than that of a socket of this name is ever removed.
    pub(super) fn inherit(
        file: SocketFile,
        bound: &Path,
        is_shared: &Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let is_socket = match fs::symlink_metadata(&file.path) {
            Ok(metadata) if identity(&metadata) == file.inode => metadata.file_type().is_socket(),
            // It is somebody else's file by now, which `drop` leaves alone.
            _ => true,
        };
        match is_socket && file.path.is_absolute() && file.path.file_name() == bound.file_name() {
            true => Ok(OwnPath {
                file,
                is_shared: is_shared.clone(),
            }),
            false => Err(Explained::refusal(
                io::ErrorKind::InvalidData,
                format!("{:?} is not the file of the socket {bound:?}", file.path),
            )),
        }
    }

    pub(super) fn file(&self) -> &SocketFile {
        &self.file
    }

    /// Sets the permissions that are requested. An error leaves those that there are.
    pub(super) fn grant(&self, options: &SocketOptions) {
        let _ = access::grant(&self.file.path, self.file.inode, options);
    }

    /// Removes the file, unless it belongs to another process by now.
    pub(super) fn remove(&self) {
        let SocketFile { path, inode: own } = &self.file;
        let is_shared = self.is_shared.load(Ordering::Acquire);
        if !is_shared && inode(path).is_ok_and(|inode| inode == *own) {
            // Nothing could report the error, and the next server replaces the file.
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Calls `open` until the lock is free, for a second at most.
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

/// The lock on the directory of a path, or the reason why it could not be taken.
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

/// Removes the file of a socket that nobody listens on, or explains why it stays.
fn remove_stale(path: &Path, lock: &Lock, in_use: io::Error) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?.file_type();
    if !found.is_socket() {
        let reason = match found.is_dir() {
            true => "the path is a directory; choose a path inside it",
            false => "the path is a file that is not a socket; remove it or choose another path",
        };
        return Err(Explained::error(reason, in_use));
    }
    // Non-blocking, since a live server with a full queue would make the client wait.
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
            "the socket was left behind by another server, and replacing it requires a lock on the \
             directory ({error}); make the directory readable or remove the socket"
        );
        return Err(Explained::error(reason, in_use));
    }
    fs::remove_file(path)
}

fn explain_bind(error: io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => "this user may not create files in the directory",
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
