//! All clients of a limit.

use super::{Place, client::Client};
use crate::cluster::{Cluster, Lost, Mode, ledger::Registry, share, shared::Shared};
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::oneshot, time::Instant};

/// The number of clients that are examined for each new one while the store cannot be reached.
const FORGET: usize = 4;

#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) shared: Arc<Shared>,
    /// Keeps the driver alive while there are connections.
    _registry: Arc<Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) max: u32,
    pub(super) clients: HashMap<IpAddr, Client>,
    /// Clients with waiters.
    pub(super) claims: VecDeque<IpAddr>,
    /// Clients for which the store counts more or fewer places than it should.
    pub(super) corrections: VecDeque<IpAddr>,
    /// All clients, once each, in the order of their next renewal.
    pub(super) renewals: VecDeque<IpAddr>,
    /// The number of renewals that are due at once.
    pub(super) urgent: usize,
    /// The number of claims under way.
    pub(super) flying: usize,
}

/// The decision about a connection for which the store has not answered.
pub(super) enum Unknown {
    /// A place that was granted before has become free.
    Granted(Place),
    Admitted(Option<Place>),
    Refused,
}

/// What is known about a connection without asking the store.
pub(super) enum Known {
    Admitted(Place),
    Refused,
    Ask,
    /// The store cannot be asked.
    Lost,
}

impl Table {
    pub(super) fn new(cluster: &Cluster, name: &str, max: u32) -> Arc<Self> {
        let table = Arc::new(Table {
            name: name.to_owned(),
            shared: cluster.shared.clone(),
            _registry: cluster.registry.clone(),
            state: Mutex::new(State {
                max,
                clients: HashMap::new(),
                claims: VecDeque::new(),
                corrections: VecDeque::new(),
                renewals: VecDeque::new(),
                urgent: 0,
                flying: 0,
            }),
        });
        cluster.register(name, table.clone());
        table
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn max(&self) -> u32 {
        self.lock().max
    }

    pub(super) fn set_max(&self, max: u32) {
        self.lock().max = max;
    }

    pub(super) fn clients(&self) -> usize {
        self.lock().clients.len()
    }

    pub(super) fn connections(&self, client: IpAddr) -> usize {
        self.lock()
            .clients
            .get(&client)
            .map_or(0, |client| client.used() as usize)
    }

    pub(super) fn mode(&self) -> Mode {
        match self.shared.is_leaving() {
            true => Mode::Exact,
            false => self.shared.settings.mode,
        }
    }

    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Known {
        let mut state = self.lock();
        let max = state.max;
        if let Some(client) = state.clients.get_mut(&ip) {
            if client.has_room(max) {
                client.enter();
                return Known::Admitted(Place::new(self.clone(), ip));
            }
            if !self.shared.is_reachable() {
                return Known::Lost;
            }
            return match client.is_refused(max, Instant::now()) {
                true => Known::Refused,
                false => Known::Ask,
            };
        }
        match self.shared.is_reachable() {
            true if max == 0 => Known::Refused,
            true => Known::Ask,
            false => Known::Lost,
        }
    }

    /// Queues a claim for a connection, unless there is no room for its client in the table.
    pub(super) fn ask(&self, ip: IpAddr) -> Option<oneshot::Receiver<Option<Place>>> {
        let (waiter, answer) = oneshot::channel();
        let mut state = self.lock();
        let client = state.client(ip, &self.shared)?;
        if client.wait(waiter) {
            state.claims.push_back(ip);
            drop(state);
            self.shared.wake.notify_one();
        }
        Some(answer)
    }

    /// Decides about a connection without the store.
    pub(super) fn enter_lost(self: &Arc<Self>, ip: IpAddr) -> Unknown {
        let lost = self.shared.settings.lost;
        let mut state = self.lock();
        let max = state.max;
        if lost == Lost::Closed && !state.clients.contains_key(&ip) {
            return Unknown::Refused;
        }
        let Some(client) = state.client(ip, &self.shared) else {
            return match lost {
                Lost::Open => Unknown::Admitted(None),
                Lost::Closed | Lost::Share => Unknown::Refused,
            };
        };
        if client.has_room(max) {
            client.enter();
            return Unknown::Granted(Place::new(self.clone(), ip));
        }
        let is_admitted = match lost {
            Lost::Open => true,
            Lost::Closed => false,
            Lost::Share => {
                // The least share, as long as nothing is known about other instances.
                let instances = self.shared.divisor().unwrap_or(usize::MAX);
                client.used() < share(max, instances)
            }
        };
        if !is_admitted {
            return Unknown::Refused;
        }
        client.enter();
        Unknown::Admitted(Some(Place::new(self.clone(), ip)))
    }

    pub(super) fn leave(&self, ip: IpAddr) {
        let mode = self.mode();
        let mut state = self.lock();
        let client = state.clients.get_mut(&ip);
        let client = client.expect("clients with connections are remembered");
        client.leave();
        if mode == Mode::Exact && client.needs_claim(mode) {
            state.corrections.push_back(ip);
            drop(state);
            self.shared.wake.notify_one();
        }
    }
}

impl State {
    /// Returns the entry of a client, or `None` if it is new and the table is full.
    fn client(&mut self, ip: IpAddr, shared: &Shared) -> Option<&mut Client> {
        if !self.clients.contains_key(&ip) {
            if !shared.is_reachable() {
                self.forget_some();
            }
            if self.clients.len() >= shared.settings.capacity {
                return None;
            }
            let now = Instant::now();
            let client = Client::new(now, now + shared.settings.renewal());
            self.clients.insert(ip, client);
            self.renewals.push_back(ip);
        }
        self.clients.get_mut(&ip)
    }

    /// Examines a few clients, in turn, and forgets those that are over. Renewals do the same for
    /// all of them, but not while the store cannot be reached.
    fn forget_some(&mut self) {
        let now = Instant::now();
        for _ in 0..FORGET.min(self.renewals.len()) {
            let Some(ip) = self.renewals.pop_front() else {
                break;
            };
            match self.clients.get(&ip) {
                Some(client) if client.is_over(now) => drop(self.clients.remove(&ip)),
                _ => self.renewals.push_back(ip),
            }
        }
    }
}
