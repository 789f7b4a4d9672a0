//! How fast one client may come.

use crate::{
    Refusal,
    client::{
        BoundedMap, CAPACITY, ClientKey,
        bucket::{Bucket, Rate},
    },
};
use reagent::{BoxError, Connection, IoStream, Upgrade, UpgradeLayer};
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// The layer of a [`PerClientRate`]: `PerClientRateLayer::new(rate)`.
pub type PerClientRateLayer = UpgradeLayer<PerClientRate>;

/// So many connections a second for each client; clones share it, whichever servers they limit.
///
/// It remembers a bounded number of clients: when there are more, those that have not come for so long that it
/// makes no difference are forgotten, or else any.
#[derive(Clone)]
pub struct PerClientRate {
    shared: Arc<Mutex<State>>,
    prefixes: ClientKey,
    refusal: Refusal,
}

struct State {
    rate: Rate,
    clients: BoundedMap<Bucket>,
}

impl PerClientRate {
    /// So many a second, and after a pause up to `burst` at once, which is at least 1. Who comes faster is
    /// closed.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let state = State {
            rate: Rate::new(per_second, burst),
            clients: BoundedMap::new(CAPACITY),
        };
        PerClientRate {
            shared: Arc::new(Mutex::new(state)),
            prefixes: ClientKey::default(),
            refusal: Refusal::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many leading bits of an address make the client: 32 and 64 unless told otherwise.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Remembers this many clients at most, and forgets those it knew. Default 65,536.
    pub fn capacity(self, clients: usize) -> Self {
        self.state().clients = BoundedMap::new(clients);
        self
    }

    /// Does this to those who come too fast.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Changes the rate at once.
    pub fn set(&self, per_second: f64, burst: f64) {
        self.state().rate = Rate::new(per_second, burst);
    }

    /// How many clients it remembers.
    pub fn clients(&self) -> usize {
        self.state().clients.len()
    }

    fn admits(&self, ip: IpAddr) -> bool {
        let (client, now) = (self.prefixes.of(ip), Instant::now());
        let State { rate, clients } = &mut *self.state();
        let bucket = clients.entry(
            client,
            now,
            |bucket| bucket.is_full(*rate, now),
            || Bucket::full(*rate, now),
        );
        bucket.take(*rate, now).is_ok()
    }
}

impl<Io: IoStream> Upgrade<Io> for PerClientRate {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        match conn.peer_addr().ip() {
            Some(ip) if !self.admits(ip) => Err(self.refusal.refuse(conn, "client rate").await),
            _ => Ok(conn),
        }
    }

    fn name(&self) -> &'static str {
        "client rate"
    }
}

impl fmt::Debug for PerClientRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerClientRate")
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}
