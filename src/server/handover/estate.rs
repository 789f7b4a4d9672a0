//! A running server, as the two sides of a hand-over see it.

use super::{
    Begin, Handover,
    predecessor::{Offer, Predecessor},
    serve::serve,
    spare::Spare,
    succession::Succession,
};
use crate::{
    Error,
    connection::event,
    listener::{Inheritance, Nothing, SocketListener, SocketOptions},
    pool::{Group, Pool, Shutdown},
    sync::Mutex,
};
use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The part of the hand-over in the start of a server: taking over from the predecessor, if there is
/// one.
pub(in crate::server) struct Heir {
    handover: Handover,
    begin: Begin,
}

/// How long an address in use is tried again without a predecessor. There may be one that drains,
/// and is about to close its sockets.
const CLOSING: Duration = Duration::from_secs(2);

impl Heir {
    pub(in crate::server) async fn new(handover: Handover) -> Result<Self, Error> {
        let begin = handover.begin().await?;
        Ok(Heir { handover, begin })
    }

    pub(in crate::server) fn inheritance<'a>(
        heir: Option<&'a mut Self>,
        nothing: &'a mut Nothing,
    ) -> &'a mut dyn Inheritance {
        match heir.map(|heir| &mut heir.begin) {
            Some(Begin::Succession(succession)) => return succession,
            Some(Begin::First(_)) => nothing.retry_until = Some(Instant::now() + CLOSING),
            None => {}
        }
        nothing
    }

    /// Takes over from the predecessor. The result is to be run until the server drains: it waits
    /// for a successor.
    pub(in crate::server) async fn take_over(
        self,
        pool: &Arc<Pool>,
    ) -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, Error> {
        let Handover {
            shutdown, carrier, ..
        } = self.handover;
        let spare = Spare::default();
        let door = match self.begin {
            Begin::First(door) => door,
            Begin::Succession(succession) => {
                try_descriptors(pool, &spare)
                    .map_err(|error| succession.failed(FEW_DESCRIPTORS, error))?;
                let door = succession.ready(&carrier).await?.take_over().await?;
                for group in pool.groups() {
                    group.visit_sockets(|socket| {
                        if socket.is_shared() {
                            socket.take_over();
                        }
                    });
                }
                door
            }
        };
        let estate = Estate {
            pool: pool.clone(),
            shutdown,
            offered: Mutex::default(),
        };
        Ok(Box::pin(async move {
            serve(door, &estate, &carrier, &spare).await;
        }))
    }
}

const FEW_DESCRIPTORS: &str =
    "there are too few file descriptors to serve clients; raise RLIMIT_NOFILE";

/// Opens as many descriptors as the acceptors and the next hand-over will need, and some for
/// connections, so that a lack of them shows while the predecessor can still continue.
fn try_descriptors(pool: &Pool, spare: &Spare) -> io::Result<()> {
    /// To be registered with the runtime, and to watch the queue.
    const EACH: usize = 2;
    /// For connections, and the socket of the hand-over.
    const OTHERS: usize = 10;

    spare.fill(sockets(pool))?;
    let acceptors = pool.control.borrow().acceptors();
    let mut trial = Vec::new();
    for group in pool.groups() {
        // Every acceptor drives a queue, and every queue has an acceptor.
        let handles = acceptors.div_ceil(group.live().len().max(1));
        group.visit_sockets(|socket| {
            let others = if trial.is_empty() { OTHERS } else { 0 };
            trial.extend((0..EACH * handles + others).map(|_| socket.descriptor()));
        });
    }
    let opened: io::Result<Vec<_>> = trial.into_iter().collect();
    opened.map(drop)
}

/// Returns the number of listening sockets that can be handed over.
fn sockets(pool: &Pool) -> usize {
    let mut count = 0;
    for group in pool.groups() {
        group.visit_sockets(|_| count += 1);
    }
    count
}

impl Inheritance for Succession {
    fn take(
        &mut self,
        requested: &str,
        options: &Arc<SocketOptions>,
    ) -> io::Result<Option<Vec<SocketListener>>> {
        let inherited = self.take_one(requested);
        inherited
            .map(|inherited| inherited.open(options))
            .transpose()
    }
}

/// What a server leaves to its successor.
struct Estate {
    pool: Arc<Pool>,
    shutdown: Shutdown,
    /// The groups of the last offer.
    offered: Mutex<Vec<Arc<Group>>>,
}

impl Estate {
    fn offered(&self, indexes: &[usize]) -> Vec<Arc<Group>> {
        let offered = self.offered.lock();
        let groups = indexes.iter().filter_map(|index| offered.get(*index));
        groups.cloned().collect()
    }

    /// Leaves open whose the sockets are.
    fn share(groups: &[Arc<Group>]) {
        for group in groups {
            group.visit_sockets(SocketListener::give_up);
        }
    }

    fn keep(groups: &[Arc<Group>]) {
        for group in groups {
            group.visit_sockets(SocketListener::keep);
            group.offer(false);
        }
    }
}

impl Predecessor for Estate {
    fn sockets(&self) -> usize {
        sockets(&self.pool)
    }

    fn offer(&self, spare: &Spare) -> io::Result<Vec<Offer>> {
        let mut offers = Vec::new();
        self.offered.lock().clear();
        for group in self.pool.groups() {
            // First, since a queue that is opened after the offer would be lost.
            group.offer(true);
            self.offered.lock().push(group.clone());
            let mut facts = None;
            let mut sockets = Vec::new();
            let are_sockets = group.visit_sockets(|socket| {
                facts.get_or_insert_with(|| socket.facts());
                sockets.push(spare.duplicate(socket.as_fd()));
            });
            let (true, Some(facts)) = (are_sockets, facts) else {
                group.offer(false);
                self.offered.lock().pop();
                continue;
            };
            offers.push(Offer {
                requested: group.requested().to_owned(),
                facts,
                sockets: sockets.into_iter().collect::<io::Result<_>>()?,
            });
        }
        // Until it is decided whose they are, a listener that is closed must not refuse clients.
        Self::share(&self.offered.lock());
        Ok(offers)
    }

    async fn pause(&self, taken: &[usize]) {
        let groups = self.offered(taken);
        self.pool
            .change(|_| groups.iter().for_each(|group| group.leave(true)));
        self.pool.settled().await;
    }

    fn resume(&self) {
        let groups = self.offered.lock().clone();
        self.pool
            .change(|_| groups.iter().for_each(|group| group.leave(false)));
    }

    fn retract(&self, reason: &str) {
        // Whatever waits for the decision goes on.
        self.pool.change(|_| Self::keep(&self.offered.lock()));
        let event = event::HandoverFailed { reason };
        let registry = &self.pool.registry;
        registry.observe(|observer| observer.handover_failed(&event));
    }

    fn commit(&self, taken: &[usize], process: Option<u32>) {
        let event = event::HandedOver { process };
        let registry = &self.pool.registry;
        registry.observe(|observer| observer.handed_over(&event));
        let taken = self.offered(taken);
        Self::keep(&self.offered.lock());
        Self::share(&taken);
        // The successor serves new clients already.
        self.pool.shut_down(self.shutdown.lame_duck(Duration::ZERO));
    }

    fn abandon(&self) {
        // They are shared. This server serves the clients in the queues as well, in case that the
        // successor dies too.
        self.resume();
    }
}
