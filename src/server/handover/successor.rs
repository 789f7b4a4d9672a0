//! The side of the server that starts.

use super::{
    Handover,
    carried::{self, Carrier},
    manifest::{self, Entry, Manifest},
    predecessor::STEP,
    serve::HELLO,
    transfer::{Failure, answer, ask, receive, unexpected},
    wire::{Kind, Received, Wire},
};
use crate::{
    BoxError, Error,
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

/// How long a predecessor may take for an answer: longer than any step of its own takes.
const ANSWER: Duration = Duration::from_secs(30);

/// How long to try a predecessor whose queue is full, or that closes the connection unheard.
const CONNECT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(50);

/// A successor that has received the sockets of its predecessor.
///
/// From now on it goes on even if its predecessor dies: nobody else serves the queues that it holds,
/// and the clients in them would be reset if it closed them. A predecessor that lives and wants to
/// continue says so.
///
/// If it is dropped, its predecessor continues.
#[derive(Debug)]
pub(crate) struct Succession {
    path: PathBuf,
    wire: Wire,
    door: SocketListener,
    listeners: Vec<Option<Inherited>>,
    taken: Vec<u16>,
}

/// A listener of the predecessor.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) requested: String,
    pub(crate) label: Option<String>,
    facts: SocketFacts,
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
pub(crate) async fn connect(handover: &Handover) -> Result<Option<Succession>, Error> {
    let path = handover.path();
    let until = Instant::now() + CONNECT;
    loop {
        let stream = match UnixStream::connect(address(path)).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
                // The queue is full.
                io::ErrorKind::WouldBlock if Instant::now() < until => {
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
    Ok(Succession {
        path: path.to_owned(),
        wire,
        door,
        listeners: listeners.into_iter().map(Some).collect(),
        taken: Vec::new(),
    })
}

/// Gives each listener of a manifest its sockets, if everything that it says is true.
fn sort(bytes: &[u8], sockets: Vec<OwnedFd>) -> io::Result<(SocketListener, Vec<Inherited>)> {
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
            label,
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
            label,
            facts,
            sockets,
        });
    }
    let door = SocketListener::inherit(door, manifest.handover, &Arc::default())?;
    Ok((door, listeners))
}

impl Succession {
    /// Takes all listeners that were requested as `address`, or if there are none, those that have
    /// this address.
    pub(crate) fn take(&mut self, address: &str) -> Vec<Inherited> {
        let by_request = self.take_if(|listener| listener.requested == address);
        match by_request.is_empty() {
            true => self.take_if(|listener| listener.facts.addr.to_string() == address),
            false => by_request,
        }
    }

    fn take_if(&mut self, is_wanted: impl Fn(&Inherited) -> bool) -> Vec<Inherited> {
        let mut taken = Vec::new();
        for (index, listener) in (0..).zip(&mut self.listeners) {
            if let Some(wanted) = listener.take_if(|listener| is_wanted(listener)) {
                taken.push(wanted);
                self.taken.push(index);
            }
        }
        taken
    }

    /// Tells the predecessor that this server is ready to accept on the listeners that it took, and
    /// restores the state of the predecessor. From then on nobody accepts there.
    ///
    /// Cancel safe: the predecessor continues.
    ///
    /// # Errors
    ///
    /// Fails if the predecessor continues, or if the state cannot be restored.
    pub(crate) async fn ready(self, carrier: &Carrier) -> Result<Prepared, Error> {
        let Succession {
            path,
            wire,
            door,
            listeners,
            mut taken,
        } = self;
        // The predecessor closes them, and nobody must be left in their queues.
        drop(listeners);
        taken.sort_unstable();
        let taken: Vec<u8> = taken.into_iter().flat_map(u16::to_be_bytes).collect();
        let received = async {
            ask(&wire, Kind::Ready, &taken, STEP).await?;
            receive(&wire, carried::MOST_BYTES, 0, ANSWER).await
        };
        let is_alone = match received.await {
            Ok((state, _)) => {
                carrier.restore(&state).map_err(|(name, error)| {
                    failed(
                        &path,
                        format!("cannot restore the state {name}"),
                        Some(error),
                    )
                })?;
                false
            }
            Err(Failure::Gone) => true,
            Err(failure) => return Err(explain(&path, failure)),
        };
        Ok(Prepared {
            path,
            wire,
            door,
            is_alone,
        })
    }
}

/// A successor that has everything it needs, and waits for the word of its predecessor.
///
/// If it is dropped, its predecessor continues.
#[derive(Debug)]
pub(crate) struct Prepared {
    path: PathBuf,
    wire: Wire,
    door: SocketListener,
    /// The predecessor is dead.
    is_alone: bool,
}

impl Prepared {
    /// Takes over. When this returns, the predecessor accepts no more, and this server has to. The
    /// result is the socket to wait for the next successor on.
    ///
    /// The predecessor decides, so that the two never disagree: without its word, or its death, this
    /// server must not accept.
    ///
    /// # Errors
    ///
    /// Fails if the predecessor continues.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the predecessor may have left already.
    pub(crate) async fn take_over(self) -> Result<SocketListener, Error> {
        let Prepared {
            path,
            wire,
            door,
            is_alone,
        } = self;
        if !is_alone {
            match decision(&wire).await {
                Ok(()) | Err(Failure::Gone) => {}
                Err(failure) => return Err(explain(&path, failure)),
            }
        }
        door.take_over();
        Ok(door)
    }
}

async fn decision(wire: &Wire) -> Result<(), Failure> {
    ask(wire, Kind::Restored, &[], STEP).await?;
    let received = &mut Received::default();
    let answered = match answer(wire, received, ANSWER).await {
        // It hangs. If it wakes up, it must not find this server willing: with the receiving half
        // shut down it cannot send its word any more, and what it has sent before can be read.
        Err(Failure::Silent) => {
            socket2::SockRef::from(wire.stream()).shutdown(std::net::Shutdown::Read)?;
            match answer(wire, received, ANSWER).await {
                Err(Failure::Gone) => Err(Failure::Silent),
                answered => answered,
            }
        }
        answered => answered,
    };
    match answered? {
        frame if frame.kind == Kind::Done => Ok(()),
        frame => Err(unexpected(&frame)),
    }
}

/// A path that starts with `@` is a name in Linux's abstract namespace.
fn address(path: &Path) -> PathBuf {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => OsStr::from_bytes(&[b"\0", name].concat()).into(),
        None => path.to_owned(),
    }
}

fn explain(path: &Path, failure: Failure) -> Error {
    match failure {
        Failure::Gone => failed(path, "it closes the connection without an answer", None),
        Failure::Silent => failed(path, "it does not answer; if it hangs, stop it", None),
        Failure::Refused(reason) => failed(path, format!("it refused: {reason}"), None),
        Failure::Broken(error) => failed(path, "the exchange failed", Some(error.into())),
    }
}

fn failed(path: &Path, reason: impl Into<String>, source: Option<BoxError>) -> Error {
    Error::Handover {
        path: path.to_owned(),
        reason: reason.into(),
        source,
    }
}
