//! The layer of a rate by client and its settings.

use super::PerClientRateService;
use crate::{
    Refusal,
    client::{
        BoundedMap, CAPACITY, ClientKey,
        bucket::{Bucket, Rate},
    },
};
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) connection above its client's rate.
pub const CLIENT_RATE: &str = "client rate";

/// A rate of connections for each client. Clones share it, whichever servers they limit.
///
/// It remembers a bounded number of clients. A client is forgotten once it has not connected for so long that it makes
/// no difference, and never before: when the table is full of others, **all clients that are not in it
/// share one rate**, as if they were one client. So a client with very many addresses can slow down newcomers, but
/// neither those that are known nor the server; wider [`prefixes`](Self::prefixes) make one client of it.
#[derive(Clone)]
pub struct PerClientRate {
    shared: Arc<Mutex<State>>,
    prefixes: ClientKey,
    refusal: Refusal,
}

struct State {
    rate: Rate,
    clients: BoundedMap<Bucket>,
    /// What clients share that find no place in the table.
    others: Bucket,
}

impl PerClientRate {
    /// Allows each client `per_second` connections, and up to `burst` at once after a pause, which is at least
    /// 1, and closes any above that.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let rate = Rate::new(per_second, burst);
        let state = State {
            rate,
            clients: BoundedMap::new(CAPACITY),
            others: Bucket::full(rate, Instant::now()),
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

    /// Sets how many leading bits of an address make a client. Default 32 for IPv4 and 64 for IPv6.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Sets how many clients are remembered at most, and forgets those that were. Default 65,536.
    pub fn capacity(self, clients: usize) -> Self {
        self.state().clients = BoundedMap::new(clients);
        self
    }

    /// Sets what is done to clients above the rate. Default [`Refusal::Close`].
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Changes the rate at once.
    pub fn set(&self, per_second: f64, burst: f64) {
        self.state().rate = Rate::new(per_second, burst);
    }

    /// Returns the number of clients that are remembered.
    pub fn clients(&self) -> usize {
        self.state().clients.len()
    }

    pub(super) fn admits(&self, ip: IpAddr) -> bool {
        let (client, now) = (self.prefixes.of(ip), Instant::now());
        let State {
            rate,
            clients,
            others,
        } = &mut *self.state();
        let known = clients.with(
            client,
            |bucket| bucket.is_full(*rate, now),
            || Bucket::full(*rate, now),
            |bucket| bucket.take(*rate, now).is_ok(),
        );
        known.unwrap_or_else(|| others.take(*rate, now).is_ok())
    }

    pub(super) fn how(&self) -> &Refusal {
        &self.refusal
    }
}

impl fmt::Debug for PerClientRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerClientRate")
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

/// The layer of a [`PerClientRate`].
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct PerClientRateLayer {
    rate: PerClientRate,
}

impl PerClientRateLayer {
    /// Creates a layer that limits each client by `rate`.
    pub fn new(rate: PerClientRate) -> Self {
        PerClientRateLayer { rate }
    }
}

impl<S> Layer<S> for PerClientRateLayer {
    type Service = PerClientRateService<S>;

    fn layer(&self, inner: S) -> PerClientRateService<S> {
        PerClientRateService::new(inner, self.rate.clone())
    }
}
