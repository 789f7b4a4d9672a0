//! Sockets that systemd, or whoever speaks its protocol, opened for this process
//! (`sd_listen_fds(3)`).

use crate::sync::Mutex;
use sd_listen_fds::OwnedFd;
use socket2::Socket;
use std::io;

/// The inherited sockets and their names, in their order. They stay open for the life of the process, so that a
/// server can be started anew and no waiting client is lost between.
static INHERITED: Mutex<Option<Vec<(String, Socket)>>> = Mutex::new(None);

/// A handle to the socket of this name, or without a name to the only one.
pub(super) fn inherited(name: &str) -> io::Result<Socket> {
    let mut inherited = INHERITED.lock();
    if inherited.is_none() {
        *inherited = Some(take()?);
    }
    let sockets = inherited.as_deref().unwrap_or_default();
    let found = match sockets {
        [only] if name.is_empty() => Some(only),
        _ => sockets.iter().find(|(known, _)| known == name),
    };
    let Some((_, socket)) = found else {
        let known: Vec<_> = sockets.iter().map(|(name, _)| name.as_str()).collect();
        let known = match known.is_empty() {
            true => "none was (LISTEN_FDS and LISTEN_PID name none for this process)".to_owned(),
            false => format!("these were: {}", known.join(", ")),
        };
        let message = format!("no socket of this name was handed over; {known}");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    };
    socket.try_clone()
}

/// Takes what the environment names, which can be done once only.
fn take() -> io::Result<Vec<(String, Socket)>> {
    let fds = sd_listen_fds::get()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    let mut sockets = Vec::with_capacity(fds.len());
    for (name, fd) in fds {
        let socket = Socket::from(OwnedFd::into_std(fd));
        // Children of this process have no business with it.
        socket.set_cloexec(true)?;
        // `unknown` is what systemd calls a socket without `FileDescriptorName=`.
        sockets.push((name.unwrap_or_else(|| "unknown".to_owned()), socket));
    }
    Ok(sockets)
}
