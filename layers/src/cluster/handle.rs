//! The handle of an instance, and how it is made.

use super::{
    Driver, Lost, Mode, Store,
    ledger::{Ledger, Registry},
    settings::Settings,
    shared::Shared,
    stats::ClusterStats,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// The time that [`Cluster::leave`] takes at most.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The bounds of the time that a connection waits.
const MIN_WAIT: Duration = Duration::from_millis(1);
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The shortest lease: three renewals of it are a second apart, and a store may be silent for a
/// second when it saves or fails over.
const MIN_LEASE: Duration = Duration::from_secs(1);
const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// The handle of this process as an instance of a cluster. Clones are the same instance.
///
/// It has a new, random name after each start, under which the store knows what it holds.
///
/// As an observer of a server (`.observe(cluster.clone())`), it [leaves](Self::leave) the cluster
/// when the server begins to drain.
#[derive(Clone)]
pub struct Cluster {
    pub(super) shared: Arc<Shared>,
    pub(super) registry: Arc<Registry>,
}

impl Cluster {
    /// Begins to configure an instance of the cluster with this name, which all instances have in
    /// common.
    pub fn builder(name: impl Into<String>) -> ClusterBuilder {
        ClusterBuilder {
            settings: Settings::new(name.into()),
        }
    }

    /// Returns the name of this instance in the store.
    pub fn instance(&self) -> &str {
        &self.shared.instance
    }

    /// Returns the counters of this instance.
    pub fn stats(&self) -> ClusterStats {
        self.shared.stats()
    }

    /// Returns a receiver of whether the store answers, which is true until it has failed to. It
    /// changes when the circuit opens or closes.
    pub fn reachable(&self) -> watch::Receiver<bool> {
        self.shared.reachable()
    }

    /// Returns why the store last failed to answer, or could not apply a claim.
    pub fn last_error(&self) -> Option<Arc<str>> {
        self.shared.last_error()
    }

    /// Gives back all places that no connection uses, now and from now on, and no longer counts as
    /// an instance. Resolves once the store has confirmed that, cannot be reached, or a second has
    /// passed.
    ///
    /// Connections that are open keep their places, and new ones are admitted as in
    /// [`Mode::Exact`]. Call it when the server begins to drain, and again before the process ends,
    /// so that the places of the last connections are given back too.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the instance goes on leaving.
    pub async fn leave(&self) {
        self.begin_leaving();
        let left = async {
            loop {
                let mut progress = std::pin::pin!(self.shared.progress.notified());
                progress.as_mut().enable();
                if !self.shared.is_reachable() || (self.shared.has_left() && self.is_settled()) {
                    break;
                }
                progress.await;
            }
        };
        let _ = timeout(LEAVE_TIMEOUT, left).await;
    }

    fn begin_leaving(&self) {
        self.shared.set_leaving();
        self.registry.each(|ledger| ledger.release());
        self.shared.wake.notify_one();
    }

    fn is_settled(&self) -> bool {
        let mut is_settled = true;
        self.registry
            .each(|ledger| is_settled &= ledger.is_settled());
        is_settled
    }

    /// Registers the ledger of a new limit.
    ///
    /// # Panics
    ///
    /// Panics if there is one of this name.
    pub(super) fn register(&self, name: &str, ledger: Arc<dyn Ledger>) {
        let is_new = self.registry.insert(name, &ledger);
        assert!(is_new, "the cluster has two limits with the name {name:?}");
        self.shared.wake.notify_one();
    }
}

impl reagent::Observer for Cluster {
    fn drain_started(&self, _: &reagent::event::DrainStarted) {
        self.begin_leaving();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("settings", &self.shared.settings)
            .field("instance", &self.shared.instance)
            .finish_non_exhaustive()
    }
}

/// The settings of a [`Cluster`]. Those marked with * must be the same on all instances.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing unless it is built"]
pub struct ClusterBuilder {
    settings: Settings,
}

impl ClusterBuilder {
    /// Sets the lease*: the time for which the store keeps what an instance holds without being
    /// renewed. The default is 10 seconds, the minimum 1 second and the maximum a day.
    ///
    /// A longer lease costs less traffic and outlasts longer interruptions of the store. A shorter
    /// one frees the places of a crashed instance sooner.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.clamp(MIN_LEASE, MAX_LEASE);
        self
    }

    /// Sets how places and tokens are taken. The default is [`Mode::Quota`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// Sets what happens to connections while the store cannot be reached. The default is
    /// [`Lost::Share`].
    pub fn lost(mut self, lost: Lost) -> Self {
        self.settings.lost = lost;
        self
    }

    /// Sets the time that a connection waits for the store at most, and a fifth of the time after
    /// which the store is considered lost. The default is 20 ms, the minimum 1 ms and the maximum 10
    /// seconds.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait.clamp(MIN_WAIT, MAX_WAIT);
        self
    }

    /// Sets the number of clients that each limit remembers at most. The default is 131,072, which
    /// bounds its table at about 40 MB. Only clients with connections within the last third of a
    /// lease are remembered.
    pub fn capacity(mut self, clients: usize) -> Self {
        self.settings.capacity = clients.max(1);
        self
    }

    /// Sets the number of instances to assume for a [`share`](super::share) until the store has
    /// reported it. By default an instance that has never reached the store admits one connection
    /// per client.
    pub fn expected_instances(mut self, instances: usize) -> Self {
        self.settings.expected = instances;
        self
    }

    /// Creates the instance, and the driver that does its work. Spawn the driver: without it,
    /// connections wait in vain, and are then decided as if the store could not be reached.
    pub fn build(self, store: impl Store) -> (Cluster, Driver) {
        let shared = Arc::new(Shared::new(self.settings));
        let registry = Arc::new(Registry::new(&shared));
        let driver = Driver::new(shared.clone(), &registry, Arc::new(store));
        (Cluster { shared, registry }, driver)
    }
}
