//! Sockets that systemd, or another program that follows its protocol, has opened for this process
//! (`sd_listen_fds(3)`).

use crate::{error::Explained, sync::Mutex};
use sd_listen_fds::OwnedFd;
use socket2::Socket;
use std::{env, io, mem::ManuallyDrop};

/// More descriptors than any process may have. A larger count is not worth an allocation.
const MOST: u32 = 1 << 20;

/// Sockets and their names.
type Sockets = Vec<(String, ManuallyDrop<Socket>)>;

/// The sockets passed to this process, in order. They stay open for the life of the process, so
/// that a server can be restarted without losing a waiting client.
///
/// The environment may be wrong about which descriptors were passed on. So none of them is ever
/// closed here: it might belong to another part of the process, or not be open.
static INHERITED: Mutex<Option<Sockets>> = Mutex::new(None);

/// Returns handles to all sockets of this name. With an empty name, returns the only socket.
pub(super) fn inherited(name: &str) -> io::Result<Vec<Socket>> {
    let mut inherited = INHERITED.lock();
    if inherited.is_none() {
        *inherited = Some(take()?);
    }
    let sockets = inherited.as_deref().unwrap_or_default();
    let is_only = sockets.len() == 1 && name.is_empty();
    let found = sockets.iter().filter(|(known, _)| known == name || is_only);
    let found = found.map(|(_, socket)| socket.try_clone());
    let found = found.collect::<io::Result<Vec<_>>>()?;
    if !found.is_empty() {
        return Ok(found);
    }
    let mut known: Vec<_> = sockets.iter().map(|(name, _)| name.as_str()).collect();
    known.dedup();
    let known = match known.is_empty() {
        true => "LISTEN_FDS and LISTEN_PID announce none".to_owned(),
        false => format!("expected one of: {}", known.join(", ")),
    };
    let reason = format!("no socket of this name was passed to this process; {known}");
    Err(Explained::refusal(io::ErrorKind::NotFound, reason))
}

/// Takes the descriptors that the environment announces.
fn take() -> io::Result<Sockets> {
    let invalid = |reason: String| Explained::refusal(io::ErrorKind::InvalidInput, reason);
    let count = env::var("LISTEN_FDS").unwrap_or_default();
    if count.parse().is_ok_and(|count: u32| count > MOST) {
        return Err(invalid(format!(
            "LISTEN_FDS is {count}; expected at most {MOST}"
        )));
    }
    let fds = sd_listen_fds::get().map_err(|error| invalid(error.to_string()))?;
    let sockets = fds.into_iter().map(|(name, fd)| {
        let socket = ManuallyDrop::new(Socket::from(OwnedFd::into_std(fd)));
        // systemd uses `unknown` for a socket without `FileDescriptorName=`.
        (name.unwrap_or_else(|| "unknown".to_owned()), socket)
    });
    let sockets: Vec<_> = sockets.collect();
    for (number, (_, socket)) in (3_u32..).zip(&sockets) {
        // Descriptors that are not sockets (a FIFO, a stored file) may have been passed on too.
        if socket
            .r#type()
            .is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
        {
            return Err(invalid(format!(
                "LISTEN_FDS is {count}, but descriptor {number} is not open; expected open \
                 descriptors from 3 on"
            )));
        }
    }
    for (_, socket) in &sockets {
        // Child processes must not inherit them.
        socket.set_cloexec(true)?;
    }
    Ok(sockets)
}
