//! The limits that connections and servers share, and the handle that changes them.

use super::{Quota, Rate, Rates, bucket::FairBucket};
use crate::client::{BoundedMap, CAPACITY, ClientKey};
use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU8, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
};
use tokio::time::Instant;

/// What a limit is for, from the narrowest on: the order in which bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Connection,
    Client,
    Total,
}

pub(super) const SCOPES: [Scope; 3] = [Scope::Connection, Scope::Client, Scope::Total];

impl Scope {
    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Read,
    Write,
}

pub(super) const WAYS: [Way; 2] = [Way::Read, Way::Write];

/// Limits of bytes, which can be changed while they hold; clones share them, whichever servers they limit.
///
/// Nothing is limited until it is set. A changed rate is heeded by the next read or write, and in a second at the
/// latest by one that waits.
#[derive(Clone)]
pub struct BandwidthLimits {
    pub(super) shared: Arc<Shared>,
    prefixes: ClientKey,
}

pub(super) struct Shared {
    ways: [Shares; 2],
    clients: Mutex<BoundedMap<Arc<ClientBuckets>>>,
    /// What clients share that find no place among them.
    other_clients: Arc<ClientBuckets>,
    quota: [AtomicU64; 3],
    /// How often a rate was changed.
    changes: AtomicU32,
}

/// What connections share in one direction.
#[derive(Default)]
struct Shares {
    /// The bits of the scopes that have a limit; all that is looked at where there is none.
    limited: AtomicU8,
    rates: [SharedRate; 3],
    total: Mutex<FairBucket>,
}

/// For the moment of a change its two numbers may be of two rates, which does no harm.
#[derive(Default)]
struct SharedRate {
    per_second: AtomicU64,
    burst: AtomicU64,
}

/// What connections of one client share, in each direction.
#[derive(Debug, Default)]
pub(super) struct ClientBuckets([Mutex<FairBucket>; 2]);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientBuckets {
    pub(super) fn bucket(&self, way: Way) -> MutexGuard<'_, FairBucket> {
        lock(&self.0[way as usize])
    }
}

impl BandwidthLimits {
    /// No limit yet.
    pub fn new() -> Self {
        let shared = Shared {
            ways: Default::default(),
            clients: Mutex::new(BoundedMap::new(CAPACITY)),
            other_clients: Arc::default(),
            quota: [const { AtomicU64::new(u64::MAX) }; 3],
            changes: AtomicU32::new(0),
        };
        BandwidthLimits {
            shared: Arc::new(shared),
            prefixes: ClientKey::default(),
        }
    }

    /// Limits each connection. Default none.
    pub fn per_connection(self, rates: impl Into<Rates>) -> Self {
        self.set_per_connection(rates);
        self
    }

    /// Limits all connections of a client together. Default none.
    ///
    /// A client is remembered until it is as if it had never come, so that it gains nothing by coming anew.
    pub fn per_client(self, rates: impl Into<Rates>) -> Self {
        self.set_per_client(rates);
        self
    }

    /// Limits all connections together. Default none.
    pub fn total(self, rates: impl Into<Rates>) -> Self {
        self.set_total(rates);
        self
    }

    /// Limits how many bytes each connection may have in all. Default without end.
    pub fn quota(self, quota: Quota) -> Self {
        self.set_quota(quota);
        self
    }

    /// How many leading bits of an address make the client: 32 and 64 unless told otherwise.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Remembers this many clients at most, and forgets those it knew. Default 65,536, which is to be more than
    /// have connections: where there are more, connections of one client may count as those of two.
    pub fn capacity(self, clients: usize) -> Self {
        *lock(&self.shared.clients) = BoundedMap::new(clients);
        self
    }

    /// Changes what each connection may have.
    pub fn set_per_connection(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Connection, rates.into());
    }

    /// Changes what each client may have.
    pub fn set_per_client(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Client, rates.into());
    }

    /// Changes what all may have.
    pub fn set_total(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Total, rates.into());
    }

    /// Changes the quota of connections that come from now on.
    pub fn set_quota(&self, quota: Quota) {
        let Quota { ways, total } = quota;
        for (shared, bytes) in self.shared.quota.iter().zip([ways[0], ways[1], total]) {
            shared.store(bytes, Relaxed);
        }
    }

    /// How many clients it remembers.
    pub fn clients(&self) -> usize {
        lock(&self.shared.clients).len()
    }

    pub(super) fn client(&self, ip: IpAddr) -> IpAddr {
        self.prefixes.of(ip)
    }
}

impl Shared {
    fn set(&self, scope: Scope, rates: Rates) {
        for (shares, rate) in self.ways.iter().zip(rates.ways) {
            let Some(rate) = rate else {
                shares.limited.fetch_and(!scope.bit(), Relaxed);
                continue;
            };
            let shared = &shares.rates[scope as usize];
            shared.per_second.store(rate.per_second, Relaxed);
            shared.burst.store(rate.burst, Relaxed);
            // Who sees the bit sees the rate.
            shares.limited.fetch_or(scope.bit(), AcqRel);
        }
        self.changes.fetch_add(1, AcqRel);
    }

    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Acquire)
    }

    pub(super) fn is_limited(&self, way: Way) -> bool {
        self.ways[way as usize].limited.load(Relaxed) != 0
    }

    pub(super) fn rate(&self, way: Way, scope: Scope) -> Option<Rate> {
        let shares = &self.ways[way as usize];
        if shares.limited.load(Acquire) & scope.bit() == 0 {
            return None;
        }
        let rate = &shares.rates[scope as usize];
        Some(Rate {
            per_second: rate.per_second.load(Relaxed),
            burst: rate.burst.load(Relaxed),
        })
    }

    pub(super) fn total(&self, way: Way) -> MutexGuard<'_, FairBucket> {
        lock(&self.ways[way as usize].total)
    }

    /// The buckets of a client, for a connection to keep.
    pub(super) fn client(&self, client: IpAddr) -> Arc<ClientBuckets> {
        let now = Instant::now();
        let is_over = |buckets: &Arc<ClientBuckets>| {
            // One that a connection has is in use.
            Arc::strong_count(buckets) == 1
                && WAYS.iter().all(|&way| {
                    self.rate(way, Scope::Client)
                        .is_none_or(|rate| buckets.bucket(way).is_full(rate, now))
                })
        };
        lock(&self.clients)
            .entry(client, is_over, Arc::default)
            .unwrap_or(&mut self.other_clients.clone())
            .clone()
    }

    pub(super) fn quota(&self) -> Quota {
        let [read, write, total] = [0, 1, 2].map(|i: usize| self.quota[i].load(Relaxed));
        Quota {
            ways: [read, write],
            total,
        }
    }
}

impl Default for BandwidthLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BandwidthLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = |scope| WAYS.map(|way| self.shared.rate(way, scope));
        f.debug_struct("BandwidthLimits")
            .field("per_connection", &rates(Scope::Connection))
            .field("per_client", &rates(Scope::Client))
            .field("total", &rates(Scope::Total))
            .field("quota", &self.shared.quota())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}
