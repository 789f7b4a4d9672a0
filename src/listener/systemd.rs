//! Sockets that systemd, or whatever speaks its protocol, opened for this process
//! (`sd_listen_fds(3)`).

use crate::{error::Explained, sync::Mutex};
use sd_listen_fds::OwnedFd;
use socket2::Socket;
use std::{env, io, mem::ManuallyDrop};

/// More descriptors than any process may have; what claims more is not worth an allocation.
const MOST: u32 = 1 << 20;

/// Sockets and their names.
type Sockets = Vec<(String, ManuallyDrop<Socket>)>;

/// What was handed over, in its order. It stays open for the life of the process, so that a server can
/// be started anew and no waiting client is lost between.
///
/// The environment may lie about which descriptors were handed over. So none of them is ever closed
/// here: it might belong to another part of the process, or not be open.
static INHERITED: Mutex<Option<Sockets>> = Mutex::new(None);

/// Handles to all sockets of this name, or without a name to the only one.
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
        true => "none was (LISTEN_FDS and LISTEN_PID name none for this process)".to_owned(),
        false => format!("these were: {}", known.join(", ")),
    };
    let reason = format!("no socket of this name was handed over; {known}");
    Err(Explained::refusal(io::ErrorKind::NotFound, reason))
}

/// Takes what the environment names.
fn take() -> io::Result<Sockets> {
    let invalid = |reason: String| Explained::refusal(io::ErrorKind::InvalidInput, reason);
    let count = env::var("LISTEN_FDS").unwrap_or_default();
    if count.parse().is_ok_and(|count: u32| count > MOST) {
        return Err(invalid(format!(
            "LISTEN_FDS is {count}; expected fewer descriptors"
        )));
    }
    let fds = sd_listen_fds::get().map_err(|error| invalid(error.to_string()))?;
    let sockets = fds.into_iter().map(|(name, fd)| {
        let socket = ManuallyDrop::new(Socket::from(OwnedFd::into_std(fd)));
        // `unknown` is what systemd calls a socket without `FileDescriptorName=`.
        (name.unwrap_or_else(|| "unknown".to_owned()), socket)
    });
    let sockets: Vec<_> = sockets.collect();
    for (number, (_, socket)) in (3_u32..).zip(&sockets) {
        // What is no socket (a FIFO, a stored file) may have been handed over too.
        if socket
            .r#type()
            .is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
        {
            return Err(invalid(format!(
                "LISTEN_FDS is {count}, but descriptor {number} is not open; expected descriptors \
                 from 3 on"
            )));
        }
    }
    for (_, socket) in &sockets {
        // Children of this process have no business with it.
        socket.set_cloexec(true)?;
    }
    Ok(sockets)
}
