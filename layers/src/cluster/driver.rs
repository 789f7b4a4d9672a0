//! The future that talks to the store on behalf of an instance.

use super::{
    flight::{Flight, Flying, Landed},
    ledger::{Ledger, Registry},
    shared::Shared,
    stats::Counters,
    store::{Batch, Claim, Store},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep_until},
};

/// The number of claims in a batch, which takes Redis about a millisecond.
const BATCH: usize = 128;

/// The number of batches under way at a time.
const FLIGHTS: usize = 4;

/// A batch that takes as many times as long as a connection waits is late. The store has failed.
const LATE: u32 = 5;

/// The least time limit for the first batch after a failure, which may have to connect.
const CONNECT: Duration = Duration::from_secs(1);

/// The pause after the first failure. It doubles after each further one.
const BACKOFF: Duration = Duration::from_millis(50);

/// The work of a [`Cluster`](super::Cluster): renewals, and everything that connections ask of the
/// store.
///
/// Spawn it on the runtime, once. It ends when all handles, limits, layers and connections of the
/// instance are gone. If it is dropped earlier, connections are decided as if the store could not
/// be reached.
///
/// It has at most 4 batches of 128 claims under way. If one fails, or takes five times as long as a
/// connection [waits](super::ClusterBuilder::wait), the circuit opens: connections no longer wait,
/// and after a pause a single batch probes the store. The pause is 50 ms at first, and doubles up to
/// 2 seconds or a sixth of the lease, until claims are answered again. It is random between half
/// and all of that, so that instances do not come back together.
#[must_use = "futures do nothing unless they are spawned or polled"]
pub struct Driver(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        registry: &Arc<Registry>,
        store: Arc<dyn Store>,
    ) -> Self {
        let work = Work {
            shared,
            registry: Arc::downgrade(registry),
            store,
            flights: FuturesUnordered::new(),
            announced: None,
            is_connected: false,
            failures: 0,
            probe_at: None,
            turn: 0,
        };
        Driver(Box::pin(work.run()))
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

// ## Connected => Lost { probe_at } => Connected
struct Work {
    shared: Arc<Shared>,
    registry: Weak<Registry>,
    store: Arc<dyn Store>,
    flights: FuturesUnordered<Flying>,
    /// When the instance last told the store that it is alive.
    announced: Option<Instant>,
    /// Whether the first batch has been answered, or has failed.
    is_connected: bool,
    /// The number of failures since the last answer to claims.
    failures: u32,
    /// When to try again. `None` if the store answers.
    probe_at: Option<Instant>,
    /// The limit whose turn it is.
    turn: usize,
}

impl Work {
    async fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            let Some(registry) = self.registry.upgrade() else {
                return;
            };
            let due = self.send_what_is_due(registry.all());
            // Not held while waiting, since its drop ends the driver.
            drop(registry);
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(landed) = self.flights.next() => self.land(landed),
                () = shared.wake.notified() => {}
                () = due => {}
            }
            // A store in memory answers at once, and other tasks have to run as well.
            consume_budget().await;
        }
    }

    /// Sends batches as far as they are due and there is room, and returns when the next is due.
    fn send_what_is_due(&mut self, ledgers: Vec<Arc<dyn Ledger>>) -> Option<Instant> {
        let now = Instant::now();
        let late = self.shared.settings.wait * LATE;
        if let Some(probe_at) = self.probe_at {
            // What connections ask for is decided without the store.
            ledgers.iter().for_each(|ledger| ledger.give_up());
            if !self.flights.is_empty() {
                return None;
            }
            if now < probe_at {
                return Some(probe_at);
            }
            self.send(Vec::new(), None, now, late.max(CONNECT));
            return None;
        }
        if self.announced.is_none() {
            // The first batch has to connect, and the others wait for it.
            self.send(Vec::new(), None, now, late.max(CONNECT));
            return None;
        }
        if !self.is_connected {
            return None;
        }
        let mut idle = 0;
        while self.flights.len() < FLIGHTS && idle < ledgers.len() {
            self.turn = (self.turn + 1) % ledgers.len();
            let ledger = &ledgers[self.turn];
            let mut claims = Vec::new();
            ledger.collect(now, BATCH, &mut claims);
            match claims.is_empty() {
                true => idle += 1,
                false => {
                    idle = 0;
                    self.send(claims, Some(ledger.clone()), now, late);
                }
            }
        }
        let announce_at = self.announced.map(|at| at + self.shared.settings.renewal());
        let is_unsaid = self.shared.is_leaving() && !self.shared.has_left();
        if is_unsaid && self.flights.is_empty() || announce_at.is_some_and(|at| at <= now) {
            self.send(Vec::new(), None, now, late);
        }
        if self.flights.len() >= FLIGHTS {
            // Sending goes on when one of them lands.
            return None;
        }
        let due = ledgers.iter().filter_map(|ledger| ledger.due());
        let announce_at = self.announced.map(|at| at + self.shared.settings.renewal());
        due.chain(announce_at).min()
    }

    fn send(
        &mut self,
        claims: Vec<(IpAddr, Claim)>,
        ledger: Option<Arc<dyn Ledger>>,
        sent: Instant,
        late: Duration,
    ) {
        let (clients, claims): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
        let counters = &self.shared.counters;
        Counters::add(&counters.batches, 1);
        Counters::add(&counters.claims, claims.len());
        let settings = &self.shared.settings;
        let batch = Batch {
            cluster: settings.name.clone(),
            instance: self.shared.instance.clone(),
            lease: settings.lease,
            instances: self.shared.instances(),
            is_leaving: self.shared.is_leaving(),
            claims,
        };
        self.announced = Some(sent);
        self.flights.push(
            Flight {
                batch,
                clients,
                ledger,
                sent,
            }
            .fly(self.store.clone(), late),
        );
    }

    fn land(&mut self, landed: Landed) {
        self.is_connected = true;
        let granted = match landed.answer {
            Ok(answer) => {
                if landed.flight.batch.is_leaving {
                    self.shared.set_left();
                }
                // A store that answers probes but no claims has not recovered.
                if landed.flight.ledger.is_some() {
                    self.failures = 0;
                }
                self.probe_at = None;
                if self.shared.answered(&answer) {
                    self.renew_all();
                }
                let claims = landed.flight.batch.claims.iter().zip(&answer.granted);
                for (claim, _) in claims.filter(|(_, granted)| granted.is_none()) {
                    self.shared.inapplicable(claim.key());
                }
                Some(answer.granted)
            }
            Err(error) => {
                let is_first = self.shared.failed(&error.to_string());
                // The batches that were under way with the first one count as one failure.
                if is_first || landed.flight.ledger.is_none() {
                    self.probe_at = Some(Instant::now() + self.backoff());
                    self.failures += 1;
                }
                None
            }
        };
        landed.flight.settle(granted.as_deref());
        self.shared.progress.notify_waiters();
    }

    fn renew_all(&self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.each(|ledger| ledger.renew_all());
        }
    }

    fn backoff(&self) -> Duration {
        let most = Duration::from_secs(2).min(self.shared.settings.lease / 6);
        let pause = BACKOFF.saturating_mul(1 << self.failures.min(10)).min(most);
        pause.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Nobody waits for a driver that was aborted.
        self.shared.failed("the driver has ended");
        if let Some(registry) = self.registry.upgrade() {
            registry.each(|ledger| ledger.give_up());
        }
    }
}
