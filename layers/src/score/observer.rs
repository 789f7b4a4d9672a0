//! The observer that scores clients.

use super::{Offence, settings::Settings, tally::Tally};
use crate::{
    Network,
    access::Bans,
    client::{BoundedMap, ClientKey},
};
use reagent::{Observer, event};
use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// An [`Observer`] that adds up the [offences](Offence) of each client and bans those with too many.
/// Clones share the scores.
///
/// Configure it, then add it to a server with [`Server::observe`](reagent::Server::observe), and its
/// ban list to an [`AccessLayer`](crate::access::AccessLayer). Settings do not apply to clones that
/// were made before.
#[derive(Clone)]
pub struct Score {
    settings: Arc<Settings>,
    bans: Bans,
    shared: Arc<Shared>,
}

struct Shared {
    is_dry: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// Made when the first client offends, since the capacity is a setting.
    clients: Option<BoundedMap<Tally>>,
    stats: ScoreStats,
}

/// A ban that a [`Score`] has decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Banned {
    /// The first address of the banned client.
    pub client: IpAddr,
    /// The offence that was one too many.
    pub offence: Offence,
    /// The duration of the ban.
    pub lasts: Duration,
    /// Whether the score is [dry](Score::dry_run), so that the client was not really banned.
    pub dry_run: bool,
}

/// A snapshot of the counts of a [`Score`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScoreStats {
    /// The number of offences of each kind that had a weight.
    pub offences: HashMap<Offence, u64>,
    /// The number of bans.
    pub bans: u64,
    /// The number of bans that a dry run has not carried out.
    pub dry_bans: u64,
    /// The number of offences that were not scored because the table of clients was full.
    pub overflowed: u64,
    /// The number of clients that are remembered, including some that may be forgotten soon.
    pub clients: usize,
}

impl Score {
    /// Creates a score that adds to `bans`.
    ///
    /// A client is a network of the [prefixes](Bans::prefixes) of that list: by default, an IPv4
    /// address or an IPv6 /64.
    pub fn new(bans: Bans) -> Self {
        Score {
            settings: Arc::default(),
            bans,
            shared: Arc::new(Shared {
                is_dry: AtomicBool::new(false),
                state: Mutex::new(State {
                    clients: None,
                    stats: ScoreStats::default(),
                }),
            }),
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the points at which a client is banned, and the time in which as many points drain away.
    /// The default is 20 points, which drain in one minute. NaN counts as 20.
    ///
    /// Points drain at a constant rate, so a client that offends less often is never banned, unless
    /// a single offence has as many points.
    pub fn points(self, max: f64, drain_time: Duration) -> Self {
        self.change(|settings| settings.set_points(max, drain_time))
    }

    /// Sets the points of an offence. The default is 1 for each. With 0, the offence is ignored.
    pub fn weight(self, offence: Offence, points: f64) -> Self {
        self.change(|settings| settings.set_weight(offence, points))
    }

    /// Sets the duration of a client's first ban, and of its longest. The default is one minute, and
    /// one hour.
    ///
    /// Each ban lasts twice as long as the one before, up to `longest`. Bans are forgotten when the
    /// last one has been over for `longest`.
    pub fn ban_time(self, first: Duration, longest: Duration) -> Self {
        self.change(|settings| settings.set_ban_time(first, longest))
    }

    /// Exempts the clients in a network, such as your proxies and load balancers.
    ///
    /// The client is the effective [`peer_addr`](reagent::ConnectionHandle::peer_addr). Exempt every
    /// proxy that is trusted to name clients: if it names none, its own address would be judged.
    pub fn exempt(self, network: impl Into<Network>) -> Self {
        self.change(|settings| settings.exempt.push(network.into()))
    }

    /// Sets the maximum number of clients that are remembered. The default is 65,536, which take up
    /// to 12 MB. A capacity of 0 counts as 1.
    ///
    /// It has no effect once a client has offended.
    pub fn capacity(self, clients: usize) -> Self {
        self.change(|settings| settings.capacity = clients)
    }

    /// Sets which ends of connections are offences. The default is [`Offence::of`].
    ///
    /// `classify` is called at the end of every connection, so it must be fast.
    ///
    /// ```
    /// use reagent::{Outcome, event};
    /// use reagent_layers::{access::Bans, score::{Offence, Score}};
    ///
    /// // A client whose handler fails is an offender here.
    /// let score = Score::new(Bans::new()).classify(|event| match event.outcome {
    ///     Outcome::Failed(_) => Some(Offence::Custom("failed")),
    ///     _ => Offence::of(event),
    /// });
    /// ```
    pub fn classify(
        self,
        classify: impl Fn(&event::ConnectionEnded<'_>) -> Option<Offence> + Send + Sync + 'static,
    ) -> Self {
        self.change(|settings| settings.classify = Arc::new(classify))
    }

    /// Calls `on_ban` for each ban, also in a dry run. It must return quickly and must not block.
    pub fn on_ban(self, on_ban: impl Fn(&Banned) + Send + Sync + 'static) -> Self {
        self.change(|settings| settings.on_ban = Some(Arc::new(on_ban)))
    }

    /// Sets whether bans are only counted and passed to [`on_ban`](Self::on_ban). The default is
    /// `false`. It applies to all clones.
    ///
    /// A dry run decides as if the bans were in force: a client that would be banned is not scored
    /// until its ban would be over. Its first real ban is as short as any first one.
    pub fn dry_run(self, is_dry: bool) -> Self {
        self.set_dry_run(is_dry);
        self
    }

    /// Changes [`dry_run`](Self::dry_run) from now on. Bans that are in force remain in force.
    pub fn set_dry_run(&self, is_dry: bool) {
        self.shared.is_dry.store(is_dry, Relaxed);
    }

    /// Reports an offence of the client with this address. Returns whether it is banned as a result.
    pub fn report(&self, ip: IpAddr, offence: Offence) -> bool {
        let is_dry = self.shared.is_dry.load(Relaxed);
        let Some(banned) = self.decide(ip, offence, is_dry) else {
            return false;
        };
        if !is_dry {
            self.bans.ban(banned.client, banned.lasts);
        }
        if let Some(on_ban) = &self.settings.on_ban {
            on_ban(&banned);
        }
        !is_dry
    }

    fn decide(&self, ip: IpAddr, offence: Offence, is_dry: bool) -> Option<Banned> {
        let settings = &*self.settings;
        let points = settings.weight(offence);
        if points == 0.0 || settings.exempt.iter().any(|network| network.contains(ip)) {
            return None;
        }
        let client = self.key().of(ip);
        let now = Instant::now();
        let mut state = self.state();
        let State { clients, stats } = &mut *state;
        let clients = clients.get_or_insert_with(|| BoundedMap::new(settings.capacity));
        *stats.offences.entry(offence).or_default() += 1;
        let score = |tally: &mut Tally| {
            // A ban that was lifted by hand is over.
            if tally.is_banned(now) && (is_dry || self.bans.is_banned(client)) {
                return None;
            }
            tally.add(points, settings, now, is_dry)
        };
        let is_over = |tally: &Tally| tally.is_over(settings, now);
        let Some(ban) = clients.with(client, is_over, || Tally::new(now), score) else {
            stats.overflowed += 1;
            return None;
        };
        let lasts = ban?;
        match is_dry {
            true => stats.dry_bans += 1,
            false => stats.bans += 1,
        }
        Some(Banned {
            client,
            offence,
            lasts,
            dry_run: is_dry,
        })
    }

    /// Returns the points that the client with this address has now.
    pub fn points_of(&self, ip: IpAddr) -> f64 {
        let state = self.state();
        let tally = state
            .clients
            .as_ref()
            .and_then(|clients| clients.get(self.key().of(ip)));
        tally.map_or(0.0, |tally| tally.points(&self.settings, Instant::now()))
    }

    /// Returns a snapshot of the counts.
    pub fn stats(&self) -> ScoreStats {
        let state = self.state();
        ScoreStats {
            clients: state.clients.as_ref().map_or(0, BoundedMap::len),
            ..state.stats.clone()
        }
    }

    fn key(&self) -> ClientKey {
        self.bans.prefixes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Score {
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let offence = (self.settings.classify)(event);
        if let (Some(offence), Some(ip)) = (offence, event.connection.peer_addr().ip()) {
            self.report(ip, offence);
        }
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Score")
            .field("is_dry", &self.shared.is_dry.load(Relaxed))
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
