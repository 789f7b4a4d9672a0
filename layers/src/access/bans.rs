//! The ban list: clients that are refused until a time.

use super::existing::Watchers;
use crate::client::{CAPACITY, ClientKey};
use std::{
    borrow::Cow,
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

/// A list of banned clients, each with the end of its ban. Clones share the list, so a handler can
/// hold one.
///
/// A ban covers an IPv4 address or an IPv6 /64, unless [`prefixes`](Self::prefixes) are set. The
/// list is bounded. When it is full, the ban that ends first is dropped, even if that is the new
/// one. So an attacker with many networks can push out bans that end sooner than the attacker's
/// own; where that matters, ban wider networks, and the worst clients for longer.
///
/// # Example
///
/// ```
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::access::{Access, AccessLayer, Bans, Rules};
/// use std::{net::SocketAddr, time::Duration};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// const TEN_MINUTES: Duration = Duration::from_secs(600);
/// let bans = Bans::new();
/// let access = Access::new(Rules::new()).with_bans(bans.clone());
/// let (listener, clients) = MemoryListener::new();
/// let list = bans.clone();
/// let server = Server::new(listener)
///     .layer(AccessLayer::new(access))
///     .start(reagent::handle(move |mut conn: Connection| {
///         let bans = list.clone();
///         async move {
///             let is_abuse = conn.read_u8().await? == b'!';
///             if let (true, Some(ip)) = (is_abuse, conn.peer_addr().ip()) {
///                 bans.ban(ip, TEN_MINUTES);
///             }
///             Ok::<_, std::io::Error>(())
///         }
///     }))
///     .await?;
///
/// let attacker: SocketAddr = "192.0.2.1:4000".parse()?;
/// let mut client = clients.connect_from(attacker).await?;
/// client.write_all(b"!").await?;
/// assert_eq!(client.read(&mut [0]).await?, 0); // The handler has returned.
/// assert!(bans.is_banned(attacker.ip()));
///
/// tokio::time::advance(TEN_MINUTES).await;
/// assert!(!bans.is_banned(attacker.ip()));
/// # Ok(())
/// # }
/// ```
///
/// # Restarts
///
/// The list is [`Carried`](reagent::Carried) state: a successor of the process can take over the
/// bans with the rest of their time. [`restore`](reagent::Carried::restore) adds them to the list,
/// with the same rules as [`ban`](Self::ban). Of a longer list, the 131,072 bans that end last are
/// saved.
///
/// If the prefixes of the successor's list are shorter, a ban extends to the whole client that
/// contains the banned network. If they are longer, the ban is dropped. Bans in a format that this
/// version does not know, as after a rollback, are ignored, and the restart succeeds. It fails only
/// if the saved bans are damaged, and then none of them is restored.
#[derive(Clone)]
pub struct Bans {
    pub(super) name: Cow<'static, str>,
    pub(super) shared: Arc<Shared>,
    pub(crate) prefixes: ClientKey,
}

pub(super) struct Shared {
    /// The length of the list, so that looking at an empty one takes no lock.
    count: AtomicUsize,
    ends: Mutex<Ends>,
    pub(super) watchers: Watchers,
}

/// The ends of bans, by client and in the order of time.
pub(super) struct Ends {
    capacity: usize,
    by_client: HashMap<IpAddr, Instant>,
    pub(super) in_order: BTreeSet<(Instant, IpAddr)>,
}

impl Ends {
    fn remove(&mut self, client: IpAddr) -> Option<Instant> {
        let until = self.by_client.remove(&client)?;
        self.in_order.remove(&(until, client));
        Some(until)
    }

    /// Bans a client, unless it is banned for longer already, or the list is full of longer bans.
    pub(super) fn ban(&mut self, client: IpAddr, now: Instant, lasts: Duration) {
        // An end beyond the range of the clock is a year away.
        let until = now
            .checked_add(lasts)
            .unwrap_or(now + Duration::from_secs(365 * 24 * 3600));
        if self.by_client.contains_key(&client) || self.make_room(now, until) {
            self.insert(client, until);
        }
    }

    /// Bans a client until `until`, unless it is banned for longer already.
    fn insert(&mut self, client: IpAddr, until: Instant) {
        let until = self.remove(client).map_or(until, |old| old.max(until));
        self.by_client.insert(client, until);
        self.in_order.insert((until, client));
    }

    /// Makes room for a ban until `until`: removes bans that are over, and then, if the list is
    /// still full, the one that ends first. Returns `false` if the list is full of bans that end
    /// later.
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
    /// Creates an empty list of at most 65,536 bans. A full list of that size takes about 10 MB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty list of at most `capacity` bans. A capacity of 0 counts as 1.
    pub fn with_capacity(capacity: usize) -> Self {
        let ends = Ends {
            capacity: capacity.max(1),
            by_client: HashMap::new(),
            in_order: BTreeSet::new(),
        };
        Bans {
            name: "bans".into(),
            shared: Arc::new(Shared {
                count: AtomicUsize::new(0),
                ends: Mutex::new(ends),
                watchers: Watchers::default(),
            }),
            prefixes: ClientKey::default(),
        }
    }

    /// Sets the number of leading bits of an address that identify a client. The default is 32 for
    /// IPv4 and 64 for IPv6, since an IPv6 client usually has a whole /64 (RFC 6177). Values above
    /// 32 and 128 mean the whole address.
    ///
    /// Clones made earlier keep their setting. Set the same on all clones of a list.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Sets the [name](reagent::Carried::name) under which the bans are handed over to a successor of
    /// this process. The default is `bans`. A server with several lists needs a name for each.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Ends) -> T) -> T {
        let ends = &self.shared.ends;
        let mut ends: MutexGuard<'_, Ends> = ends.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut ends);
        self.shared.count.store(ends.by_client.len(), Relaxed);
        result
    }

    /// Bans the client with this address for the duration `lasts`, starting now.
    ///
    /// If the client is already banned until later, that ban stays. The client's open connections
    /// end if changes [apply](super::Access::apply) to them. A time that is too long for the clock,
    /// such as [`Duration::MAX`], counts as 365 days.
    pub fn ban(&self, ip: IpAddr, lasts: Duration) {
        let client = self.prefixes.of(ip);
        self.with(|ends| ends.ban(client, Instant::now(), lasts));
        self.shared.watchers.recheck(self.prefixes.range(ip));
    }

    /// Lifts the ban of the client with this address. Returns whether it was banned.
    pub fn unban(&self, ip: IpAddr) -> bool {
        let until = self.with(|ends| ends.remove(self.prefixes.of(ip)));
        until.is_some_and(|until| until > Instant::now())
    }

    /// Returns whether the client with this address is banned now.
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

    /// Returns the `count` bans that last the longest, each with the first address that it covers
    /// and the time until it ends.
    pub fn longest(&self, count: usize) -> Vec<(IpAddr, Duration)> {
        let now = Instant::now();
        self.with(|ends| {
            let bans = ends.in_order.iter().rev();
            bans.map(|(until, client)| (*client, until.saturating_duration_since(now)))
                .take_while(|(_, left)| !left.is_zero())
                .take(count)
                .collect()
        })
    }

    /// Returns the number of bans in the list, including some that may be over.
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
