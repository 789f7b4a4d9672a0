//! The clients with connections, and the places of their connections.

use reagent::limit::{Limit, Permit};
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The limit, and every client that has or wants connections.
pub(super) struct Clients {
    max: AtomicUsize,
    /// The limit of all clients together.
    all: Option<Limit>,
    clients: Mutex<HashMap<IpAddr, Client>>,
}

/// A client's limit, and the number of its connections that have or want a permit.
struct Client {
    limit: Limit,
    users: usize,
    waiting: usize,
}

/// A connection's use of the limit of its client.
pub(super) struct Place {
    permit: Option<Permit>,
    is_waiting: bool,
    limit: Limit,
    client: IpAddr,
    clients: Arc<Clients>,
}

impl Clients {
    pub(super) fn new(max: usize, all: Option<Limit>) -> Arc<Self> {
        Arc::new(Clients {
            max: AtomicUsize::new(max),
            all,
            clients: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn max(&self) -> usize {
        self.max.load(Relaxed)
    }

    pub(super) fn set_max(&self, max: usize) {
        let clients = self.lock();
        self.max.store(max, Relaxed);
        clients
            .values()
            .for_each(|client| client.limit.set_max(max));
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn connections(&self, client: IpAddr) -> usize {
        self.lock()
            .get(&client)
            .map_or(0, |client| client.limit.taken())
    }

    /// Returns a place for a connection of `client`, if there is room now.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let mut clients = self.lock();
        let entry = clients.entry(client).or_insert_with(|| self.client());
        let permit = entry.limit.try_acquire();
        let place = self.place(entry, client, permit);
        drop(clients);
        // Without a permit, the drop of the place removes the client again.
        place.permit.is_some().then_some(place)
    }

    /// Joins the queue of `client`, unless `most` of its connections wait already.
    pub(super) fn wait(self: &Arc<Self>, client: IpAddr, most: usize) -> Option<Place> {
        let mut clients = self.lock();
        let entry = clients.entry(client).or_insert_with(|| self.client());
        let mut place = self.place(entry, client, None);
        place.is_waiting = entry.waiting < most;
        entry.waiting += usize::from(place.is_waiting);
        drop(clients);
        place.is_waiting.then_some(place)
    }

    fn client(&self) -> Client {
        Client {
            limit: match &self.all {
                Some(all) => all.child(self.max()),
                None => Limit::new(self.max()),
            },
            users: 0,
            waiting: 0,
        }
    }

    fn place(
        self: &Arc<Self>,
        entry: &mut Client,
        client: IpAddr,
        permit: Option<Permit>,
    ) -> Place {
        entry.users += 1;
        Place {
            permit,
            is_waiting: false,
            limit: entry.limit.clone(),
            client,
            clients: self.clone(),
        }
    }
}

impl Place {
    /// Waits for a permit, in the order of arrival.
    ///
    /// Cancel safe: a dropped future takes no permit.
    pub(super) async fn acquire(&mut self) {
        self.permit = Some(self.limit.acquire().await);
        self.is_waiting = false;
        if let Some(client) = self.clients.lock().get_mut(&self.client) {
            client.waiting -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The permit goes first, since the client is removed together with its limit.
        self.permit = None;
        let mut clients = self.clients.lock();
        if let Entry::Occupied(mut entry) = clients.entry(self.client) {
            let client = entry.get_mut();
            client.waiting -= usize::from(self.is_waiting);
            client.users -= 1;
            if client.users == 0 {
                entry.remove();
            }
        }
    }
}
