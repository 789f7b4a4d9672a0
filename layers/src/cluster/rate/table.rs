//! All clients of a rate.

use super::bucket::Tokens;
use crate::{
    client::{BoundedMap, bucket::Rate},
    cluster::{Cluster, Lost, ledger::Registry, shared::Shared},
};
use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::oneshot, time::Instant};

/// The client that stands for all of them.
pub(super) const ALL: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) shared: Arc<Shared>,
    /// Keeps the driver alive.
    _registry: Arc<Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) per_second: f64,
    pub(super) burst: u32,
    pub(super) clients: BoundedMap<Tokens>,
    /// Clients with waiters.
    pub(super) claims: VecDeque<IpAddr>,
    /// The number of tokens that each claim under way asks for.
    pub(super) flying: HashMap<IpAddr, u32>,
}

/// What is known about a connection without asking the store.
pub(super) enum Known {
    Admitted,
    Refused,
    Ask,
    /// The store cannot be asked.
    Lost,
}

impl Table {
    pub(super) fn new(cluster: &Cluster, name: &str, per_second: f64, burst: f64) -> Arc<Self> {
        let (per_second, burst) = clamped(per_second, burst);
        let table = Arc::new(Table {
            name: name.to_owned(),
            shared: cluster.shared.clone(),
            _registry: cluster.registry.clone(),
            state: Mutex::new(State {
                per_second,
                burst,
                clients: BoundedMap::new(cluster.shared.settings.capacity),
                claims: VecDeque::new(),
                flying: HashMap::new(),
            }),
        });
        cluster.register(name, table.clone());
        table
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, per_second: f64, burst: f64) {
        let mut state = self.lock();
        (state.per_second, state.burst) = clamped(per_second, burst);
    }

    pub(super) fn per_second(&self) -> f64 {
        self.lock().per_second
    }

    pub(super) fn clients(&self) -> usize {
        self.lock().clients.len()
    }

    pub(super) fn enter(&self, ip: IpAddr) -> Known {
        let share = self.share();
        let is_reachable = self.shared.is_reachable();
        let known = self.lock().with(ip, share, |tokens| {
            if tokens.take(share) {
                Known::Admitted
            } else if !is_reachable {
                Known::Lost
            } else if tokens.is_refused(Instant::now()) {
                Known::Refused
            } else {
                Known::Ask
            }
        });
        known.unwrap_or(Known::Lost)
    }

    /// Queues a claim for a connection, unless there is no room for its client in the table.
    pub(super) fn ask(&self, ip: IpAddr) -> Option<oneshot::Receiver<bool>> {
        let share = self.share();
        let (waiter, answer) = oneshot::channel();
        let mut state = self.lock();
        if state.with(ip, share, |tokens| tokens.wait(waiter))? {
            state.claims.push_back(ip);
            drop(state);
            self.shared.wake.notify_one();
        }
        Some(answer)
    }

    /// Returns whether a connection is admitted without the store.
    pub(super) fn enter_lost(&self, ip: IpAddr) -> bool {
        let share = self.share();
        match self.shared.settings.lost {
            Lost::Open => true,
            Lost::Closed => false,
            Lost::Share => {
                let now = Instant::now();
                let taken = self
                    .lock()
                    .with(ip, share, |tokens| tokens.take_share(share, now));
                taken.unwrap_or(false)
            }
        }
    }

    /// Returns the share of this instance in the rate. Its burst is at least 1.
    pub(super) fn share(&self) -> Rate {
        let state = self.lock();
        let burst = f64::from(state.burst);
        match self.shared.divisor() {
            Some(instances) => {
                let instances = instances as f64;
                Rate::new(state.per_second / instances, burst / instances)
            }
            // The least share, as long as nothing is known about other instances.
            None => Rate::new(state.per_second / burst, 1.0),
        }
    }
}

/// The store counts in microseconds. A rate of 0 would mean to remember clients for ever.
fn clamped(per_second: f64, burst: f64) -> (f64, u32) {
    let per_second = if per_second.is_nan() { 0.0 } else { per_second };
    let per_second = per_second.clamp(1.0 / 86_400.0, 1e6);
    (per_second, burst.max(1.0) as u32)
}

impl State {
    /// Calls `act` with the tokens of a client, or returns `None` if it is new and the table is
    /// full.
    pub(super) fn with<T>(
        &mut self,
        ip: IpAddr,
        share: Rate,
        act: impl FnOnce(&mut Tokens) -> T,
    ) -> Option<T> {
        let now = Instant::now();
        let is_over = |tokens: &Tokens| tokens.is_over(share, now);
        self.clients.with(ip, is_over, Tokens::default, act)
    }
}
