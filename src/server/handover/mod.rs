//! Replacing a running server by a new process: a hot restart.

mod carrier;
mod estate;
mod fields;
mod manifest;
pub(super) mod predecessor;
pub(super) mod serve;
pub(super) mod spare;
pub(super) mod succession;
pub(super) mod successor;
mod transfer;
mod wire;

#[cfg(test)]
mod tests;

use crate::{Carried, Error, listener::SocketListener, pool::Shutdown};
use carrier::Carrier;
pub(super) use estate::Heir;
use fields::{Fields, invalid, put, sized};
use rustix::process::geteuid;
use std::{
    collections::BTreeSet,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};
use succession::{Succession, failed};
use successor::connect;

/// The first bytes of a successor, so that a stray client is not mistaken for one.
const MAGIC: &[u8] = b"reagent hand-over";

/// The version of the protocol. Fields can be added without changing it.
const VERSION: u16 = 1;

/// The field of a greeting.
const SPEAKS: u16 = 1;

/// The settings of a hand-over: a server that starts takes over from the one that is running, and
/// later hands over to its own successor.
///
/// To replace a running server, for a new version of the program or for other settings, start the
/// new one with the same path. There is no other command, and both programs may be the same:
///
/// 1. The *successor* connects to the Unix socket at the path. If no server listens there, it just
///    starts, and listens on the path itself. An address in use is tried for two seconds then, since
///    a server that drains may be about to close it.
/// 2. The *predecessor* passes on its listening sockets (`SCM_RIGHTS`, `unix(7)`) and continues to
///    accept. The successor uses the sockets of the addresses that it listens on too, opens those
///    that are new, and makes its services.
/// 3. Once the successor is ready, the predecessor stops accepting and passes on the state that was
///    added by [`carry`](Self::carry). Clients wait in the queues for a few milliseconds.
/// 4. The successor accepts. The predecessor closes its sockets, drains, and ends.
///
/// # Guarantees
///
/// - No queue that the successor takes over is closed, so no client is refused or reset. A client in
///   a queue is served by one of the two servers.
/// - The predecessor continues if the successor fails to start, exits, is killed, or cannot restore
///   the state, or if it takes more than a minute to start or more than 10 s for a later step. A
///   successor that was only slow notices that, and its start fails.
/// - After step 4, the predecessor accepts no client.
/// - If the predecessor dies after step 2, the successor continues.
/// - There is one successor at a time, and the start of any other fails. Other clients of the path
///   have no effect.
/// - The predecessor removes neither the path nor the paths of Unix sockets.
///
/// The predecessor closes the listeners that its successor does not take. A custom
/// [`Listener`](crate::Listener) is passed on only if it is a socket or wraps one
/// ([`as_socket`](crate::Listener::as_socket)).
///
/// # Options
///
/// A socket that was taken over gets the [options](crate::SocketOptions) of the successor that can
/// be changed on a listening socket, and its backlog. What is decided when a socket is bound
/// remains: `reuse_addr`, `reuse_port`, `only_v6`, `freebind`, `transparent`, and what the
/// `before_bind` hook did.
///
/// # Security
///
/// The path is created with mode 0600, and each side checks that the other one runs as the same
/// user or as root. The successor checks that the descriptors which it receives are the listening
/// sockets that it expects.
///
/// # Descriptors
///
/// The server keeps a few file descriptors, and one for each listening socket, so that it can be
/// replaced even when it has run out of them.
///
/// # Service managers and containers
///
/// The process ID of the server changes. Announce it to a service manager (`MAINPID` in
/// `sd_notify(3)`) when [`Observer::handed_over`](crate::Observer::handed_over) is called, which is
/// before this process can end. A container ends with its first process, so that process must not be the server,
/// but a parent of it that remains.
///
/// # Example
///
/// ```
/// use reagent::{Connection, Handover, Server, Shutdown, handle};
/// use std::time::Duration;
///
/// # async fn f() -> Result<(), reagent::BoxError> {
/// let handover = Handover::new("/run/app/handover.sock")
///     .shutdown(Shutdown::new(Duration::from_secs(600)));
/// let server = Server::bind("0.0.0.0:80")
///     .handover(handover)
///     .start(handle(async |_: Connection| std::io::Result::Ok(())))
///     .await?;
/// // Returns when the connections have ended after a successor has taken over.
/// server.wait().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings have no effect unless they are passed to a server"]
pub struct Handover {
    pub(super) path: PathBuf,
    pub(super) shutdown: Shutdown,
    pub(super) carrier: Carrier,
}

impl Handover {
    /// Creates settings with the path on which this server waits for its successor.
    ///
    /// A path that starts with `@` is a name in Linux's abstract namespace. Such a name has no mode,
    /// so other users can connect to it, but are refused.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Handover {
            path: path.into(),
            shutdown: Shutdown::new(Duration::from_secs(30)),
            carrier: Carrier::default(),
        }
    }

    /// Sets how the connections of this server end after a successor has taken over. The default is
    /// a deadline of 30 s.
    ///
    /// The lame duck stage is left out, since the successor serves new clients by then.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Adds state that this server takes from its predecessor and passes on to its successor. The
    /// start fails if two of them have the same name.
    ///
    /// It is saved and restored in the order in which it was added.
    pub fn carry(mut self, state: impl Carried) -> Self {
        self.carrier.add(state);
        self
    }

    /// Returns the server that is to be replaced. Without one, returns the socket to wait for a
    /// successor on.
    ///
    /// Cancel safe: a predecessor continues, and the path is removed again.
    pub(super) async fn begin(&self) -> Result<Begin, Error> {
        if let Err(reason) = self.carrier.check() {
            return Err(failed(&self.path, reason, None));
        }
        if let Some(succession) = connect(&self.path).await? {
            return Ok(Begin::Succession(succession));
        }
        match SocketListener::private(&self.path).await {
            Ok(door) => Ok(Begin::First(door)),
            Err(error) => Err(Error::bind(&self.path.display().to_string(), error)),
        }
    }
}

/// How a server with a hand-over starts.
#[derive(Debug)]
pub(super) enum Begin {
    /// Without a predecessor. Successors connect to this socket.
    First(SocketListener),
    Succession(Succession),
}

/// Implements `From` for a list of types.
macro_rules! from {
    ($($type:ty)+) => {$(
        impl From<$type> for Handover {
            fn from(path: $type) -> Self {
                Handover::new(path)
            }
        }
    )+};
}

from!(&str String &Path PathBuf &PathBuf);

/// Returns whether a process of this user may take part.
fn is_trusted(peer: u32) -> bool {
    may_take_part(peer, geteuid().as_raw())
}

fn may_take_part(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// Returns the greeting of a successor.
fn hello() -> Vec<u8> {
    let mut hello = MAGIC.to_vec();
    put(&mut hello, SPEAKS, &VERSION.to_be_bytes());
    hello
}

/// Returns the version that a successor speaks, or `None` if this is no greeting.
fn read_hello(body: &[u8]) -> Option<u16> {
    for field in Fields(body.strip_prefix(MAGIC)?) {
        if let (SPEAKS, version) = field.ok()? {
            return Some(u16::from_be_bytes(sized(version).ok()?));
        }
    }
    None
}

/// Checks that no two descriptors are of the same socket.
fn distinct(sockets: &[OwnedFd]) -> io::Result<()> {
    let mut known = BTreeSet::new();
    for socket in sockets {
        let stat = rustix::fs::fstat(socket)?;
        if !known.insert((stat.st_dev, stat.st_ino)) {
            return Err(invalid("a socket was sent twice"));
        }
    }
    Ok(())
}
