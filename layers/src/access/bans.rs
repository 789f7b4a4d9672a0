//! The ban list: clients that are refused until a time.

use crate::client::{CAPACITY, ClientKey};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A list of bans, each with an end. Clones share it, so a handler can hold one.
///
/// A ban is for an IPv4 address or an IPv6 /64, unless [`prefixes`](Self::prefixes) are set. The list is bounded: when it
/// is full, the ban that ends soonest gives way, be it the new one. A client that owns many networks can push out
/// bans that end sooner than its own; ban wider networks, and worse clients for longer, where that matters.
#[derive(Clone)]
pub struct Bans {
    shared: Arc<Shared>,
    prefixes: ClientKey,
}

struct Shared {
    /// The length of the list, so that an empty one costs nothing.
    count: AtomicUsize,
    ends: Mutex<Ends>,
}

/// When bans end, by client and in that order.
struct Ends {
    capacity: usize,
    by_client: HashMap<IpAddr, Instant>,
    in_order: BTreeSet<(Instant, IpAddr)>,
}

impl Ends {
    fn remove(&mut self, client: IpAddr) -> Option<Instant> {
        let until = self.by_client.remove(&client)?;
        self.in_order.remove(&(until, client));
        Some(until)
    }

    /// Bans a client until `until`, or for longer if it is already.
    fn insert(&mut self, client: IpAddr, until: Instant) {
        let until = self.remove(client).map_or(until, |old| old.max(until));
        self.by_client.insert(client, until);
        self.in_order.insert((until, client));
    }

    /// Removes what is over, and then what ends soonest, to leave room for a ban until `until`. Returns
    /// whether there is room; a list in which all others end later has none.
    fn make_room(&mut self, now: Instant, until: Instant) -> bool {
        while let Some(&(soonest, client)) = self.in_order.first() {
            let is_over = soonest <= now;
            if !is_over && self.by_client.len() < self.capacity {
                break;
            }
            if !is_over && until < soonest {
                return false;
            }
            self.remove(client);
        }
        true
    }
}

impl Default for Bans {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Bans {
    /// Creates an empty list of at most 65,536 bans.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty list of at most this many bans, at least one.
    pub fn with_capacity(capacity: usize) -> Self {
        let ends = Ends {
            capacity: capacity.max(1),
            by_client: HashMap::new(),
            in_order: BTreeSet::new(),
        };
        Bans {
            shared: Arc::new(Shared {
                count: AtomicUsize::new(0),
                ends: Mutex::new(ends),
            }),
            prefixes: ClientKey::default(),
        }
    }

    /// Sets how many leading bits of an address make a client. Default 32 for IPv4 and 64 for IPv6.
    ///
    /// Clones that were made before keep what they had.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    fn with<T>(&self, act: impl FnOnce(&mut Ends) -> T) -> T {
        let ends = &self.shared.ends;
        let mut ends: MutexGuard<'_, Ends> = ends.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut ends);
        self.shared.count.store(ends.by_client.len(), Relaxed);
        result
    }

    /// Bans the client of this address for `lasts`, from now on. A ban that ends later stays. Connections
    /// that are open are not closed.
    pub fn ban(&self, ip: IpAddr, lasts: Duration) {
        let now = Instant::now();
        // An end that no clock can tell is a year away.
        let until = now
            .checked_add(lasts)
            .unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        let client = self.prefixes.of(ip);
        self.with(|ends| {
            if ends.by_client.contains_key(&client) || ends.make_room(now, until) {
                ends.insert(client, until);
            }
        });
    }

    /// Lifts a ban. Returns whether there was one.
    pub fn unban(&self, ip: IpAddr) -> bool {
        let until = self.with(|ends| ends.remove(self.prefixes.of(ip)));
        until.is_some_and(|until| until > Instant::now())
    }

    /// Returns whether the client of this address is banned now.
    pub fn is_banned(&self, ip: IpAddr) -> bool {
        if self.shared.count.load(Relaxed) == 0 {
            return false;
        }
        let client = self.prefixes.of(ip);
        self.with(|ends| match ends.by_client.get(&client) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                ends.remove(client);
                false
            }
            None => false,
        })
    }

    /// Returns the number of bans in the list. Some of them may be over.
    pub fn len(&self) -> usize {
        self.shared.count.load(Relaxed)
    }

    /// Returns whether the list is empty.
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
