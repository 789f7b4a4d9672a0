//! The limits as connections see them.

use super::{Quota, Rate, Rates, bucket::FairBucket};
use crate::{
    DryRun,
    client::{BoundedMap, CAPACITY},
    io::Direction,
};
use std::{
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

/// The scope of a limit, from the narrowest to the widest: the order in which bytes are asked for.
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

pub(super) struct Shared {
    ways: [Shares; 2],
    clients: Mutex<BoundedMap<Arc<ClientBuckets>>>,
    /// The buckets shared by all clients that found the table full.
    other_clients: Arc<ClientBuckets>,
    quota: [AtomicU64; 3],
    /// The number of changes to rates.
    changes: AtomicU32,
    /// Looked at only where a limit acts.
    dry_run: Mutex<DryRun>,
}

/// The limits of one direction that connections share.
#[derive(Default)]
struct Shares {
    /// The bits of the scopes that have a limit. Without any, nothing else is read.
    limited: AtomicU8,
    rates: [SharedRate; 3],
    total: Mutex<FairBucket>,
}

/// A rate that can be changed. During a change its two numbers may belong to two rates, which does
/// no harm.
#[derive(Default)]
struct SharedRate {
    per_second: AtomicU64,
    burst: AtomicU64,
}

/// The buckets that the connections of a client share, one for each direction.
#[derive(Debug, Default)]
pub(super) struct ClientBuckets([Mutex<FairBucket>; 2]);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientBuckets {
    pub(super) fn bucket(&self, direction: Direction) -> MutexGuard<'_, FairBucket> {
        lock(&self.0[direction as usize])
    }
}

impl Shared {
    pub(super) fn new() -> Self {
        Shared {
            ways: Default::default(),
            clients: Mutex::new(BoundedMap::new(CAPACITY)),
            other_clients: Arc::default(),
            quota: [const { AtomicU64::new(u64::MAX) }; 3],
            changes: AtomicU32::new(0),
            dry_run: Mutex::default(),
        }
    }

    pub(super) fn set_dry_run(&self, dry_run: DryRun) {
        *lock(&self.dry_run) = dry_run;
    }

    pub(super) fn dry_run(&self) -> DryRun {
        lock(&self.dry_run).clone()
    }

    pub(super) fn set_capacity(&self, clients: usize) {
        *lock(&self.clients) = BoundedMap::new(clients);
    }

    pub(super) fn clients(&self) -> usize {
        lock(&self.clients).len()
    }

    pub(super) fn set_quota(&self, quota: Quota) {
        let Quota { ways, total } = quota;
        for (shared, bytes) in self.quota.iter().zip([ways[0], ways[1], total]) {
            shared.store(bytes, Relaxed);
        }
    }

    pub(super) fn set(&self, scope: Scope, rates: Rates) {
        for (shares, rate) in self.ways.iter().zip(rates.ways) {
            let Some(rate) = rate else {
                shares.limited.fetch_and(!scope.bit(), Relaxed);
                continue;
            };
            let shared = &shares.rates[scope as usize];
            shared.per_second.store(rate.per_second, Relaxed);
            shared.burst.store(rate.burst, Relaxed);
            // A reader that sees the bit also sees the rate.
            shares.limited.fetch_or(scope.bit(), AcqRel);
        }
        self.changes.fetch_add(1, AcqRel);
    }

    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Acquire)
    }

    pub(super) fn is_limited(&self, direction: Direction) -> bool {
        self.ways[direction as usize].limited.load(Relaxed) != 0
    }

    pub(super) fn rate(&self, direction: Direction, scope: Scope) -> Option<Rate> {
        let shares = &self.ways[direction as usize];
        if shares.limited.load(Acquire) & scope.bit() == 0 {
            return None;
        }
        let rate = &shares.rates[scope as usize];
        Some(Rate {
            per_second: rate.per_second.load(Relaxed),
            burst: rate.burst.load(Relaxed),
        })
    }

    pub(super) fn total(&self, direction: Direction) -> MutexGuard<'_, FairBucket> {
        lock(&self.ways[direction as usize].total)
    }

    /// Returns the buckets of a client, for a connection to keep.
    pub(super) fn client(&self, client: IpAddr) -> Arc<ClientBuckets> {
        let now = Instant::now();
        let is_over = |buckets: &Arc<ClientBuckets>| {
            // A connection that holds a reference may still use it.
            Arc::strong_count(buckets) == 1
                && Direction::BOTH.iter().all(|&direction| {
                    self.rate(direction, Scope::Client)
                        .is_none_or(|rate| buckets.bucket(direction).is_full(rate, now))
                })
        };
        lock(&self.clients)
            .with(client, is_over, Arc::default, |known| known.clone())
            .unwrap_or_else(|| self.other_clients.clone())
    }

    pub(super) fn quota(&self) -> Quota {
        let [read, write, total] = [0, 1, 2].map(|i: usize| self.quota[i].load(Relaxed));
        Quota {
            ways: [read, write],
            total,
        }
    }
}
