//! Clients that are not to come back for a while.

use crate::client::{BoundedMap, CAPACITY, ClientKey};
use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A list of bans, each with its end; clones share it, so a handler can have one.
///
/// A ban is for an IPv4 address or an IPv6 /64. The list is bounded: when it is full, a new ban takes the place of
/// one that is over, or else of any.
#[derive(Clone)]
pub struct Bans {
    shared: Arc<Shared>,
}

struct Shared {
    prefixes: ClientKey,
    /// As many as are in the list, so that an empty one costs nothing.
    count: AtomicUsize,
    until: Mutex<BoundedMap<Instant>>,
}

impl Default for Bans {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Bans {
    /// An empty list of 65,536 bans at most.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list of this many bans at most, at least one.
    pub fn with_capacity(capacity: usize) -> Self {
        Bans {
            shared: Arc::new(Shared {
                prefixes: ClientKey::default(),
                count: AtomicUsize::new(0),
                until: Mutex::new(BoundedMap::new(capacity)),
            }),
        }
    }

    fn until(&self) -> MutexGuard<'_, BoundedMap<Instant>> {
        self.shared
            .until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Bans the client of this address for this long from now; a ban that lasts longer stays. Connections
    /// that it has are not ended.
    pub fn ban(&self, ip: IpAddr, lasts: Duration) {
        let now = Instant::now();
        // Without an end that can be told, a year will do.
        let until = now
            .checked_add(lasts)
            .unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        let client = self.shared.prefixes.of(ip);
        let mut bans = self.until();
        let end = bans.entry(client, now, |end| *end <= now, || until);
        *end = until.max(*end);
        self.shared.count.store(bans.len(), Relaxed);
    }

    /// Lifts a ban, and says whether there was one.
    pub fn unban(&self, ip: IpAddr) -> bool {
        let mut bans = self.until();
        let until = bans.remove(&self.shared.prefixes.of(ip));
        self.shared.count.store(bans.len(), Relaxed);
        until.is_some_and(|until| until > Instant::now())
    }

    /// Whether the client of this address is banned now.
    pub fn is_banned(&self, ip: IpAddr) -> bool {
        if self.shared.count.load(Relaxed) == 0 {
            return false;
        }
        let client = self.shared.prefixes.of(ip);
        let mut bans = self.until();
        match bans.get(&client) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                bans.remove(&client);
                self.shared.count.store(bans.len(), Relaxed);
                false
            }
            None => false,
        }
    }

    /// How many bans are in the list; some may be over.
    pub fn len(&self) -> usize {
        self.shared.count.load(Relaxed)
    }

    /// Whether nobody is banned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Bans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bans")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
