//! The side of the server that starts.

use super::{
    manifest::{self, Entry, Manifest},
    predecessor::STEP,
    serve::HELLO,
    succession::{Succession, explain, failed},
    transfer::{Failure, ask, receive},
    wire::{Kind, Wire},
};
use crate::{
    Error,
    error::Explained,
    listener::{SocketFacts, SocketListener, SocketOptions},
};
use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UnixStream,
    time::{Instant, sleep},
};

/// How long to try a predecessor whose queue is full, or that closes the connection unheard.
const CONNECT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(50);

/// A listener of the predecessor.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) requested: String,
    pub(super) facts: SocketFacts,
    sockets: Vec<OwnedFd>,
}

impl Inherited {
    /// Creates a listener of each of its queues. They accept, but have to
    /// [take over](SocketListener::take_over) once the succession is decided.
    pub(crate) fn open(self, options: &Arc<SocketOptions>) -> io::Result<Vec<SocketListener>> {
        let Inherited { facts, sockets, .. } = self;
        let sockets = sockets.into_iter();
        sockets
            .map(|socket| SocketListener::inherit(socket, facts.clone(), options))
            .collect()
    }
}

/// Connects to the server that listens for successors on this path, and receives its sockets.
/// Returns `None` if there is no such server.
///
/// Cancel safe: the predecessor continues.
pub(crate) async fn connect(path: &Path) -> Result<Option<Succession>, Error> {
    let until = Instant::now() + CONNECT;
    loop {
        let stream = match UnixStream::connect(address(path)).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
                // The queue is full, or the server ends while it is connected to.
                io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionReset
                    if Instant::now() < until =>
                {
                    sleep(RETRY).await;
                    continue;
                }
                _ => return Err(failed(path, "it cannot be reached", Some(error.into()))),
            },
        };
        match begin(path, Wire::new(stream)).await {
            Ok(succession) => return Ok(Some(succession)),
            // It has ended, or another succession has just ended, or it had no room to listen.
            Err(Failure::Gone) if Instant::now() < until => sleep(RETRY).await,
            Err(failure) => return Err(explain(path, failure)),
        }
    }
}

async fn begin(path: &Path, wire: Wire) -> Result<Succession, Failure> {
    let peer = wire.stream().peer_cred()?.uid();
    if !super::is_trusted(peer) {
        let reason = format!("the server there runs as the user ID {peer}, which is not trusted");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason).into());
    }
    ask(&wire, Kind::Hello, &super::hello(), HELLO).await?;
    let (bytes, sockets) =
        receive(&wire, manifest::MOST_BYTES, manifest::MOST_SOCKETS, STEP).await?;
    let (door, listeners) = sort(&bytes, sockets)?;
    Ok(Succession::new(path, wire, door, listeners))
}

/// Gives each listener of a manifest its sockets, if everything that it says is true.
pub(super) fn sort(
    bytes: &[u8],
    sockets: Vec<OwnedFd>,
) -> io::Result<(SocketListener, Vec<Inherited>)> {
    let manifest = Manifest::decode(bytes)?;
    let (expected, arrived) = (manifest.sockets(), sockets.len());
    if expected != arrived {
        let reason = format!("{arrived} sockets arrived; expected {expected}");
        return Err(super::fields::invalid(reason));
    }
    super::distinct(&sockets)?;
    let mut sockets = sockets.into_iter();
    let mut listeners = Vec::with_capacity(manifest.listeners.len());
    let door = sockets.next().ok_or(io::ErrorKind::InvalidData)?;
    for entry in manifest.listeners {
        let Entry {
            requested,
            facts,
            sockets: count,
        } = entry;
        let sockets: Vec<_> = sockets.by_ref().take(count.into()).collect();
        for socket in &sockets {
            facts.verify(socket).map_err(|error| {
                Explained::error(format!("the socket of {requested:?} is wrong"), error)
            })?;
        }
        listeners.push(Inherited {
            requested,
            facts,
            sockets,
        });
    }
    let door = SocketListener::inherit(door, manifest.handover, &Arc::default())?;
    Ok((door, listeners))
}

/// A path that starts with `@` is a name in Linux's abstract namespace.
fn address(path: &Path) -> PathBuf {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => OsStr::from_bytes(&[b"\0", name].concat()).into(),
        None => path.to_owned(),
    }
}
