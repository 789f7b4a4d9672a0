//! How many connections one client may have.

use crate::{Refusal, client::ClientKey};
use reagent::{
    BoxError, Connection, IoStream, Upgrade, UpgradeLayer,
    limit::{Limit, Permit},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// The layer of a [`PerClient`]: `PerClientLayer::new(per_client)`.
pub type PerClientLayer = UpgradeLayer<PerClient>;

/// So many connections a client; clones share it, whichever servers they limit. It remembers the clients that
/// have a connection, and no others.
#[derive(Clone)]
pub struct PerClient {
    shared: Arc<Shared>,
    prefixes: ClientKey,
    wait: Option<Duration>,
    refusal: Refusal,
}

struct Shared {
    max: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, Client>>,
}

/// A client's limit, and how many have or want a part of it.
struct Client {
    limit: Limit,
    users: usize,
}

impl PerClient {
    /// So many connections for each client. Who comes when it has them is closed.
    pub fn new(max: usize) -> Self {
        let shared = Shared {
            max: AtomicUsize::new(max),
            clients: Mutex::default(),
        };
        PerClient {
            shared: Arc::new(shared),
            prefixes: ClientKey::default(),
            wait: None,
            refusal: Refusal::default(),
        }
    }

    /// How many leading bits of an address make the client: 32 and 64 unless told otherwise.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Lets a connection wait so long for another of its client to end. While it waits it counts under the
    /// server's `max_connections`; the layer's own time limit, 10 s, holds as well. Default none.
    pub fn wait(mut self, wait: impl Into<Option<Duration>>) -> Self {
        self.wait = wait.into();
        self
    }

    /// Does this to those who are too many.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Changes how many. Connections that are open stay.
    pub fn set_max(&self, max: usize) {
        let clients = self.shared.clients();
        self.shared.max.store(max, Relaxed);
        clients
            .values()
            .for_each(|client| client.limit.set_max(max));
    }

    /// How many clients have connections now.
    pub fn clients(&self) -> usize {
        self.shared.clients().len()
    }

    /// How many connections the client of this address has.
    pub fn connections(&self, ip: IpAddr) -> usize {
        let client = self.prefixes.of(ip);
        self.shared
            .clients()
            .get(&client)
            .map_or(0, |client| client.limit.taken())
    }

    fn enter(&self, ip: IpAddr) -> Place {
        let client = self.prefixes.of(ip);
        let mut clients = self.shared.clients();
        let entry = clients.entry(client).or_insert_with(|| Client {
            limit: Limit::new(self.shared.max.load(Relaxed)),
            users: 0,
        });
        entry.users += 1;
        Place {
            permit: None,
            limit: entry.limit.clone(),
            client,
            shared: self.shared.clone(),
        }
    }
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's part in its client's limit.
struct Place {
    permit: Option<Permit>,
    limit: Limit,
    client: IpAddr,
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permit = None;
        let mut clients = self.shared.clients();
        if let Entry::Occupied(mut client) = clients.entry(self.client) {
            client.get_mut().users -= 1;
            if client.get().users == 0 {
                client.remove();
            }
        }
    }
}

impl<Io: IoStream> Upgrade<Io> for PerClient {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        let Some(ip) = conn.peer_addr().ip() else {
            return Ok(conn);
        };
        let mut place = self.enter(ip);
        place.permit = match (place.limit.try_acquire(), self.wait) {
            (None, Some(wait)) => tokio::time::timeout(wait, place.limit.acquire()).await.ok(),
            (permit, _) => permit,
        };
        if place.permit.is_none() {
            return Err(self.refusal.refuse(conn, "client connections").await);
        }
        conn.keep(place);
        Ok(conn)
    }

    fn name(&self) -> &'static str {
        "client connections"
    }
}

impl fmt::Debug for PerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerClient")
            .field("max", &self.shared.max.load(Relaxed))
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}
