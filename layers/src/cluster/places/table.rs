//! All clients of a limit, and the claims that they need.

use super::{
    Place,
    client::{Answers, Client, Purpose, Rules, Waiter, send},
};
use crate::cluster::{
    Claim, Cluster, Mode,
    ledger::{Ledger, Registry},
    settings::Lost,
    share,
    shared::Shared,
};
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::oneshot, time::Instant};

/// The number of clients that are examined at a time, so that the lock is never held for long.
const LOOKS: usize = 1024;

#[derive(Debug)]
pub(super) struct Table {
    name: String,
    shared: Arc<Shared>,
    /// Keeps the driver alive while there are connections.
    _registry: Arc<Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    max: u32,
    clients: HashMap<IpAddr, Client>,
    /// Clients with waiters.
    claims: VecDeque<IpAddr>,
    /// Clients for which the store counts more or fewer places than it should.
    corrections: VecDeque<IpAddr>,
    /// All clients, once each, in the order of their next renewal.
    renewals: VecDeque<IpAddr>,
    /// The number of renewals that are due at once.
    urgent: usize,
    /// The number of claims under way.
    flying: usize,
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

    fn lock(&self) -> MutexGuard<'_, State> {
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

    fn mode(&self) -> Mode {
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

    /// Returns a client whose places are to be renewed now, and forgets those without any.
    fn next_renewal(&mut self, now: Instant, shared: &Shared, looks: &mut usize) -> Option<IpAddr> {
        while *looks > 0 {
            let ip = *self.renewals.front()?;
            let client = self.clients.get_mut(&ip).expect("queued once");
            if self.urgent == 0 && client.renew_at > now {
                return None;
            }
            *looks -= 1;
            self.renewals.pop_front();
            self.urgent = self.urgent.saturating_sub(1);
            if client.is_over(now) {
                self.clients.remove(&ip);
                continue;
            }
            client.renew_at = now + shared.settings.renewal();
            self.renewals.push_back(ip);
            // A claim is a renewal, too.
            if !client.has_claim() {
                return Some(ip);
            }
        }
        None
    }
}

impl Ledger for Table {
    fn collect(&self, now: Instant, room: usize, claims: &mut Vec<(IpAddr, Claim)>) {
        let mut state = self.lock();
        let mut looks = LOOKS;
        let rules = Rules {
            max: state.max,
            instances: self.shared.divisor().unwrap_or(1),
            mode: self.mode(),
        };
        while claims.len() < room {
            let (ip, purpose) = if let Some(ip) = state.claims.pop_front() {
                (ip, Purpose::Admit)
            } else if let Some(ip) = state.corrections.pop_front() {
                (ip, Purpose::Renew)
            } else if let Some(ip) = state.next_renewal(now, &self.shared, &mut looks) {
                (ip, Purpose::Renew)
            } else {
                break;
            };
            state.flying += 1;
            let client = state.clients.get_mut(&ip);
            let client = client.expect("clients with claims are remembered");
            let (want, hold) = client.claim(purpose, rules);
            let claim = Claim::Places {
                key: format!("{}:{ip}", self.name),
                want,
                hold,
                max: rules.max,
                number: self.shared.next_number(),
            };
            claims.push((ip, claim));
        }
    }

    fn settle(self: Arc<Self>, ip: IpAddr, sent: Instant, granted: Option<u32>) {
        let mode = self.mode();
        let mut state = self.lock();
        state.flying -= 1;
        let max = state.max;
        let client = state.clients.get_mut(&ip);
        let client = client.expect("clients with claims are remembered");
        let Some(granted) = granted else {
            client.fail(Instant::now() + self.shared.settings.lease);
            let waiters = client.give_up();
            drop(state);
            drop(waiters);
            return;
        };
        let until = sent + self.shared.settings.lease;
        let place = || Place::new(self.clone(), ip);
        let answers: Answers = client.settle(granted, until, Instant::now(), max, place);
        if client.needs_claim(mode) {
            match client.has_waiters() {
                true => state.claims.push_back(ip),
                false => state.corrections.push_back(ip),
            }
        }
        drop(state);
        send(answers);
    }

    fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let first = state.renewals.front()?;
        match state.urgent {
            0 => state.clients.get(first).map(|client| client.renew_at),
            _ => Some(Instant::now()),
        }
    }

    fn renew_all(&self) {
        let mut state = self.lock();
        state.urgent = state.renewals.len();
    }

    fn give_up(&self) {
        let mut state = self.lock();
        let mut waiters: Vec<VecDeque<Waiter>> = Vec::new();
        while let Some(ip) = state.claims.pop_front() {
            let client = state.clients.get_mut(&ip);
            let client = client.expect("clients with claims are remembered");
            client.is_queued = false;
            waiters.push(client.give_up());
        }
        drop(state);
        drop(waiters);
    }

    fn release(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for (ip, client) in &mut state.clients {
            if client.needs_claim(Mode::Exact) {
                state.corrections.push_back(*ip);
            }
        }
    }

    fn is_settled(&self) -> bool {
        let state = self.lock();
        state.claims.is_empty() && state.corrections.is_empty() && state.flying == 0
    }
}
