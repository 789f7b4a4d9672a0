//! Connections to Unix sockets.

use super::plain::Plain;
use std::{io, path::Path};

/// The delay between attempts to connect to a socket whose queue is full.
#[cfg(unix)]
const QUEUE_FULL: std::time::Duration = std::time::Duration::from_millis(20);

/// Connects to a Unix socket. If its queue is full, `connect` does not wait as it does for TCP, but
/// fails with `EAGAIN` (see `unix(7)`), so it is retried.
#[cfg(unix)]
pub(super) async fn connect(path: &Path) -> io::Result<Plain> {
    let path = with_zero(path);
    loop {
        match tokio::net::UnixStream::connect(&path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(QUEUE_FULL).await;
            }
            connected => return connected.map(Plain::Unix),
        }
    }
}

/// Writes the `@` of an abstract name as the system does.
#[cfg(unix)]
fn with_zero(path: &Path) -> std::borrow::Cow<'_, Path> {
    use std::{
        ffi::OsString,
        os::unix::ffi::{OsStrExt, OsStringExt},
    };
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => {
            let zeroed = [b"\0", name].concat();
            std::path::PathBuf::from(OsString::from_vec(zeroed)).into()
        }
        None => path.into(),
    }
}

#[cfg(not(unix))]
pub(super) async fn connect(_: &Path) -> io::Result<Plain> {
    Err(io::ErrorKind::Unsupported.into())
}
