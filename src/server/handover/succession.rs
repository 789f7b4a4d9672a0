//! A successor and its steps, once it has the sockets of its predecessor.

use super::{
    carrier::{self, Carrier},
    predecessor::STEP,
    successor::Inherited,
    transfer::{Failure, answer, ask, receive, unexpected},
    wire::{Kind, Received, Wire},
};
use crate::{BoxError, Error, listener::SocketListener};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a predecessor may take for an answer: longer than any of its steps takes.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// A successor that has received the sockets of its predecessor.
///
/// From now on it continues even if its predecessor dies: no other process would serve the queues,
/// and the clients in them would be reset. A predecessor that is alive and wants to continue says
/// so, so the end of the connection alone means that it is gone.
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

impl Succession {
    pub(super) fn new(
        path: &Path,
        wire: Wire,
        door: SocketListener,
        listeners: Vec<Inherited>,
    ) -> Self {
        Succession {
            path: path.to_owned(),
            wire,
            door,
            listeners: listeners.into_iter().map(Some).collect(),
            taken: Vec::new(),
        }
    }

    /// Takes the first listener that was requested as `address`, or otherwise the first one that is
    /// bound to it.
    pub(super) fn take_one(&mut self, address: &str) -> Option<Inherited> {
        let is_requested = |listener: &Inherited| listener.requested == address;
        let is_bound = |listener: &Inherited| listener.facts.addr.to_string() == address;
        let position = |is_wanted: &dyn Fn(&Inherited) -> bool| {
            let mut listeners = self.listeners.iter();
            listeners.position(|listener| listener.as_ref().is_some_and(is_wanted))
        };
        let index = position(&is_requested).or_else(|| position(&is_bound))?;
        self.taken.push(u16::try_from(index).ok()?);
        self.listeners[index].take()
    }

    pub(super) fn failed(&self, reason: &str, error: std::io::Error) -> Error {
        failed(&self.path, reason, Some(error.into()))
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
            receive(&wire, carrier::MOST_BYTES, 0, ANSWER).await
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

pub(super) fn explain(path: &Path, failure: Failure) -> Error {
    match failure {
        Failure::Gone => failed(path, "it closes the connection without an answer", None),
        Failure::Silent => failed(path, "it does not answer; if it hangs, stop it", None),
        Failure::Refused(reason) => failed(path, format!("it refused: {reason}"), None),
        Failure::Broken(error) => failed(path, "the exchange failed", Some(error.into())),
    }
}

pub(super) fn failed(path: &Path, reason: impl Into<String>, source: Option<BoxError>) -> Error {
    Error::Handover {
        path: path.to_owned(),
        reason: reason.into(),
        source,
    }
}
