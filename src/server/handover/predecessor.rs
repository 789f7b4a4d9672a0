//! The side of the server that is running.

use super::{
    carrier::Carrier,
    fields::invalid,
    manifest::{Entry, Manifest},
    spare::Spare,
    transfer::{Failure, expect, send, send_in_time},
    wire::{Kind, Wire},
};
use crate::listener::{SocketFacts, SocketListener};
use std::{future::Future, io, os::fd::OwnedFd, time::Duration};
use tokio::time::{Instant, timeout};

/// How long a successor may take from its first message until it is ready: its program binds what
/// is new and makes its services, which may read files and ask other servers.
pub(super) const START: Duration = Duration::from_secs(60);

/// How long a successor may take for any other step.
pub(super) const STEP: Duration = Duration::from_secs(10);

/// How long acceptors may take to pause. They are asked at their next poll, unless their thread is
/// blocked.
const PAUSE: Duration = Duration::from_secs(10);

/// How long a refusal may take to be sent. There is room for it, unless the peer is no successor.
const REFUSAL: Duration = Duration::from_secs(1);

/// The most bytes of the reason of a refusal.
const MOST_REASON: usize = 1024;

/// What a predecessor asks of its server.
pub(crate) trait Predecessor: Send + Sync + 'static {
    /// Returns the number of sockets that there are to hand over.
    fn sockets(&self) -> usize;

    /// Returns the listeners to hand over, with descriptors of all their sockets, which `spare`
    /// makes. From now on the successor may have them, until [`retract`](Self::retract) or
    /// [`commit`](Self::commit).
    fn offer(&self, spare: &Spare) -> io::Result<Vec<Offer>>;

    /// Ceases to accept on the listeners with these indexes of the [`offer`](Self::offer), and
    /// returns once no acceptor is accepting there. The queues stay open.
    fn pause(&self, taken: &[usize]) -> impl Future<Output = ()> + Send;

    /// Accepts again where [`pause`](Self::pause) has stopped it: the succession has failed.
    fn resume(&self);

    /// The succession has failed for this reason, and this server keeps everything.
    fn retract(&self, reason: &str);

    /// Leaves the listeners with these indexes to the successor, the process with this ID, which
    /// accepts there from now on, and drains. Their sockets must be closed without touching their queues, and the files of
    /// their Unix sockets must remain (`SocketListener::give_up`).
    fn commit(&self, taken: &[usize], process: Option<u32>);

    /// The server stops while a successor is starting, which will go on alone. It is not known which
    /// listeners it will take, so all that were offered remain shared.
    fn abandon(&self);
}

/// A listener that is offered to a successor.
#[derive(Debug)]
pub(crate) struct Offer {
    /// The address that was asked for, with port 0 if any port would do.
    pub(crate) requested: String,
    pub(crate) facts: SocketFacts,
    /// Its queues: several with `SO_REUSEPORT`.
    pub(crate) sockets: Vec<OwnedFd>,
}

/// Hands the server over to the successor at the other end of `wire`, which has greeted. Returns
/// whether it has taken over. If not, this server continues, and the successor knows.
///
/// If this future is dropped, the server is about to stop, and the successor goes on alone.
pub(super) async fn hand_over<P: Predecessor>(
    wire: Wire,
    server: &P,
    carrier: &Carrier,
    door: SocketListener,
    spare: &Spare,
) -> bool {
    let mut exchange = Exchange {
        server,
        door,
        spare,
        is_offered: false,
        is_paused: false,
    };
    let ended = exchange.run(&wire, carrier).await;
    if let Err(failure) = &ended {
        let reason = failure.to_string();
        // First, so that a successor that was only slow stops before this server accepts again.
        if !matches!(failure, Failure::Gone) {
            refuse(&wire, &reason).await;
        }
        server.retract(&reason);
    }
    exchange.is_offered = false;
    ended.is_ok()
}

struct Exchange<'a, P: Predecessor> {
    server: &'a P,
    /// The socket on which successors connect.
    door: SocketListener,
    spare: &'a Spare,
    /// The successor may have the sockets.
    is_offered: bool,
    is_paused: bool,
}

impl<P: Predecessor> Exchange<'_, P> {
    async fn run(&mut self, wire: &Wire, carrier: &Carrier) -> Result<(), Failure> {
        let started = Instant::now();
        let (manifest, sockets) = self.offer()?;
        self.is_offered = true;
        send(wire, &manifest.encode(), &sockets, STEP).await?;
        drop(sockets);

        let left = START.saturating_sub(started.elapsed());
        let taken = expect(wire, Kind::Ready, left).await?;
        let taken = indexes(&taken, manifest.listeners.len())?;
        self.is_paused = true;
        if timeout(PAUSE, self.server.pause(&taken)).await.is_err() {
            return Err(own("its acceptors did not pause in time"));
        }
        let state = carrier.save().map_err(own)?;
        send(wire, &state, &[], STEP).await?;

        expect(wire, Kind::Restored, STEP).await?;
        // Fails if the successor is dead.
        send_in_time(wire, Kind::Done, &[], &[], STEP).await?;
        self.is_paused = false;
        self.door.give_up();
        self.server.commit(&taken, process(wire));
        Ok(())
    }

    /// Returns what is offered, with the socket of the hand-over first.
    fn offer(&self) -> Result<(Manifest, Vec<OwnedFd>), Failure> {
        let offers = self.server.offer(self.spare);
        let door = self.spare.duplicate(self.door.as_fd());
        let (offers, door) = offers
            .and_then(|offers| Ok((offers, door?)))
            .map_err(|error| own(format!("its sockets cannot be passed on: {error}")))?;
        let mut sockets = vec![door];
        let mut listeners = Vec::with_capacity(offers.len());
        for offer in offers {
            listeners.push(Entry {
                requested: offer.requested,
                facts: offer.facts,
                sockets: u16::try_from(offer.sockets.len()).unwrap_or(u16::MAX),
            });
            sockets.extend(offer.sockets);
        }
        let manifest = Manifest {
            handover: self.door.facts(),
            listeners,
        };
        // So that the reason is clear if the successor would not accept it.
        match Manifest::decode(&manifest.encode()) {
            Ok(_) => Ok((manifest, sockets)),
            Err(error) => Err(own(format!("its listeners cannot be described: {error}"))),
        }
    }
}

impl<P: Predecessor> Drop for Exchange<'_, P> {
    fn drop(&mut self) {
        if self.is_offered {
            self.door.give_up();
            self.server.abandon();
        }
        if self.is_paused {
            self.server.resume();
        }
    }
}

/// Returns the process of the successor, unless it is outside of the namespace of this one.
fn process(wire: &Wire) -> Option<u32> {
    let process = wire.stream().peer_cred().ok()?.pid()?;
    u32::try_from(process).ok().filter(|process| *process > 0)
}

/// A failure of this server, which is no fault of the successor.
fn own(reason: impl Into<String>) -> Failure {
    Failure::Refused(reason.into())
}

/// Tells the successor that it must stop.
async fn refuse(wire: &Wire, reason: &str) {
    let reason = &reason.as_bytes()[..reason.len().min(MOST_REASON)];
    let _ = timeout(REFUSAL, wire.send(Kind::Refused, reason, &[])).await;
}

/// Reads the indexes of the listeners that the successor takes, in ascending order.
fn indexes(body: &[u8], listeners: usize) -> io::Result<Vec<usize>> {
    let pairs = body.chunks_exact(2);
    let is_whole = pairs.remainder().is_empty();
    let taken = pairs.map(|pair| usize::from(pair[0]) << 8 | usize::from(pair[1]));
    let taken: Vec<_> = taken.collect();
    let is_ascending = taken.is_sorted_by(|a, b| a < b);
    let is_known = taken.last().is_none_or(|last| *last < listeners);
    match is_whole && is_ascending && is_known {
        true => Ok(taken),
        false => Err(invalid("the list of listeners that are taken is invalid")),
    }
}
