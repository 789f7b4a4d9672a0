//! The handle of a set, and how it is made.

use super::{
    check::Check,
    description::Upstream,
    driver::Driver,
    service::ConnectService,
    set::Set,
    settings::{Balance, Ejection, Settings},
    shared::{Events, Shared},
    stats::{StateChange, UpstreamStats},
};
use reagent::BoxError;
use std::{fmt, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// The longest time that can be set: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A set of upstreams. Clones share it.
///
/// `T` is what a connector needs to connect to one of them, such as a `SocketAddr`.
pub struct Upstreams<T> {
    pub(super) shared: Arc<Shared<T>>,
}

impl<T> Clone for Upstreams<T> {
    fn clone(&self) -> Self {
        Upstreams {
            shared: self.shared.clone(),
        }
    }
}

// The type of the targets is that of `build`.
impl Upstreams<()> {
    /// Begins to configure a set.
    pub fn builder() -> UpstreamsBuilder {
        UpstreamsBuilder {
            settings: Settings::default(),
            events: Events::default(),
            seed: None,
        }
    }
}

impl<T: Send + Sync + 'static> Upstreams<T> {
    /// Creates a set with the default settings. See [`builder`](Self::builder) for others.
    pub fn new(upstreams: impl IntoIterator<Item = Upstream<T>>) -> Self {
        Upstreams::builder().build(upstreams)
    }

    /// Replaces the upstreams of the set.
    ///
    /// Upstreams whose names stay keep what is known about them, and may get another target, weight
    /// and limit. Connections to upstreams that leave stay open. If a name is repeated, its last
    /// upstream counts.
    pub fn set(&self, upstreams: impl IntoIterator<Item = Upstream<T>>) {
        let upstreams = upstreams.into_iter().collect();
        let old = self.shared.with(|set, now| set.replace(upstreams, now));
        drop(old);
        self.shared.changed.send_replace(());
    }

    /// Makes no more connections to the upstream with this name, until it is
    /// [resumed](Self::resume). Its connections stay open. Returns whether there is such an
    /// upstream.
    pub fn drain(&self, name: &str) -> bool {
        self.set_drained(name, true)
    }

    /// Ends the effect of [`drain`](Self::drain). Returns whether there is such an upstream.
    pub fn resume(&self, name: &str) -> bool {
        self.set_drained(name, false)
    }

    /// Sets the [weight](Upstream::weight) of the upstream with this name, until it is
    /// [set](Self::set) again. Returns whether there is such an upstream.
    pub fn set_weight(&self, name: &str, weight: u32) -> bool {
        self.shared.with(|set, _| {
            let member = set.named(name);
            member
                .map(|member| member.upstream.weight = weight)
                .is_some()
        })
    }

    fn set_drained(&self, name: &str, is_drained: bool) -> bool {
        self.shared.with(|set, _| {
            let member = set.named(name);
            member
                .map(|member| member.is_drained = is_drained)
                .is_some()
        })
    }

    /// Returns the figures of all upstreams, in the order in which they came into the set.
    pub fn stats(&self) -> Vec<UpstreamStats> {
        self.shared.with(|set, now| {
            // Their states are those at the end of the last action, or have changed by time.
            set.update_states(now);
            set.members.iter().map(|member| member.stats(now)).collect()
        })
    }

    /// Returns the number of clients that wait for room at an upstream.
    pub fn waiting(&self) -> usize {
        self.shared.with(|set, _| set.queue.len())
    }

    /// Returns a service that connects to an upstream of this set with `connector`. See
    /// [`connect`](Self::connect).
    pub fn service<C>(&self, connector: C) -> ConnectService<T, C> {
        ConnectService::new(self.clone(), connector)
    }

    /// Checks every upstream again and again, with a connector that may differ from that of
    /// clients.
    ///
    /// Spawn the driver on the runtime, once. It ends when all handles, services and connections of
    /// the set are gone. If it is dropped earlier, upstreams stay as the last check found them.
    pub fn check<C>(&self, check: Check, connector: C) -> Driver
    where
        T: Clone,
        C: Service<T> + Clone + Send + 'static,
        C::Response: AsyncRead + AsyncWrite + Unpin + Send,
        C::Error: Into<BoxError>,
        C::Future: Send,
    {
        Driver::new(&self.shared, check, connector)
    }
}

impl<T> fmt::Debug for Upstreams<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").finish_non_exhaustive()
    }
}

/// The settings of [`Upstreams`].
#[derive(Clone)]
#[must_use = "a builder does nothing unless it is built"]
pub struct UpstreamsBuilder {
    settings: Settings,
    events: Events,
    seed: Option<u64>,
}

impl UpstreamsBuilder {
    /// Sets how an upstream is chosen. The default is [`Balance::P2c`].
    pub fn balance(mut self, balance: Balance) -> Self {
        self.settings.balance = balance;
        self
    }

    /// Sets the time limit for an attempt to connect to one upstream. The default is 3 s.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.settings.attempt = limit.min(LONGEST);
        self
    }

    /// Sets the time limit for all attempts together, with the time in the queue. The default is
    /// 9 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = limit.min(LONGEST);
        self
    }

    /// Sets the number of other upstreams that are tried after the first has failed. The default is
    /// 2.
    pub fn retries(mut self, others: usize) -> Self {
        self.settings.retries = others;
        self
    }

    /// Sets the number of clients that wait at most when all upstreams that can be used have
    /// reached their [limits](Upstream::max_connections). Clients beyond that fail at once. The
    /// default is 128.
    ///
    /// There is one queue for the set and not one for each upstream, so that no client waits for
    /// one upstream while another has room. Clients are served in their order.
    pub fn queue(mut self, clients: usize) -> Self {
        self.settings.queue = clients;
        self
    }

    /// Sets the time in which the share of an upstream that has returned, or is new in a set that
    /// serves, grows from a tenth of its weight to the whole. The default is 10 s. Zero turns it
    /// off.
    pub fn slow_start(mut self, time: Duration) -> Self {
        self.settings.slow_start = time.min(LONGEST);
        self
    }

    /// Sets when upstreams that fail are ejected. See [`Ejection`] for the default.
    pub fn ejection(mut self, ejection: Ejection) -> Self {
        self.settings.ejection = ejection;
        self
    }

    /// Calls a function after each change of the state of an upstream, for logs. It must not
    /// block or panic.
    ///
    /// A change by time alone, such as the end of an ejection, is noticed with the next connection,
    /// check or call of [`Upstreams::stats`].
    pub fn on_change(mut self, call: impl Fn(&StateChange) + Send + Sync + 'static) -> Self {
        self.events.on_change = Some(Arc::new(call));
        self
    }

    /// Calls a function when a [check](Upstreams::check) or a source that is
    /// [followed](Upstreams::follow) has panicked, for logs. It gets a message that says which, and
    /// must not block.
    ///
    /// A check that panics has failed, and a source that panics has returned nothing. Both are tried
    /// again after their intervals.
    pub fn on_panic(mut self, call: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.events.on_panic = Some(Arc::new(call));
        self
    }

    /// Makes all choices repeatable, for tests. By default the seed is random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Creates the set.
    pub fn build<T: Send + Sync + 'static>(
        self,
        upstreams: impl IntoIterator<Item = Upstream<T>>,
    ) -> Upstreams<T> {
        let random = self
            .seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let set = Set::new(self.settings, random);
        let shared = Arc::new(Shared::new(set, self.events));
        let handle = Upstreams { shared };
        handle.set(upstreams);
        handle
    }
}

impl fmt::Debug for UpstreamsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamsBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
