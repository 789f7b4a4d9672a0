//! The limits and lists of a listener, which keep their state when the configuration changes.

use crate::{abuse::Abuse, options::Listener, values::Count};
use reagent::Limit;
use reagent_layers::{
    DryRun, Refusal,
    access::{Access, Rules},
    bandwidth::{BandwidthLimits, Rate},
    cluster::ClusterPerClient,
    limit::{AcceptRate, PerClient},
    tls::{PeerPattern, TlsInfo},
};
use std::sync::{Arc, PoisonError, RwLock};

/// Handles to what the layers of a listener have counted. Clones share it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The open connections at all addresses of the listener.
    pub max_connections: Limit,
    pub accept_rate: AcceptRate,
    pub access: Access,
    /// All rules, where some of them are only tried.
    pub tried_access: Access,
    /// The rules by fingerprint, and whether they are only tried.
    pub fingerprints: (Access, DryRun),
    pub per_client: PerClient,
    /// The limit that all listeners share with other gateways.
    pub cluster: Option<ClusterPerClient>,
    pub bandwidth: BandwidthLimits,
    pub identities: Identities,
}

/// The names of clients that are admitted by their certificates. Without any, all are.
#[derive(Clone, Debug, Default)]
pub struct Identities(Arc<RwLock<Arc<[PeerPattern]>>>);

impl Identities {
    pub fn admit(&self, client: &TlsInfo) -> bool {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let names = names.clone();
        names.is_empty() || names.iter().any(|name| name.matches(client))
    }

    fn set(&self, names: &[PeerPattern]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names.into();
    }
}

impl Limits {
    /// Creates the limits of a listener. All listeners share `abuse`.
    pub fn new(listener: &Listener, abuse: &Abuse, cluster: Option<&ClusterPerClient>) -> Self {
        let rate = rate(listener);
        let refusal = || Refusal::tarpit(&abuse.tarpit);
        let access = Access::new(Rules::new()).with_bans(abuse.bans.clone());
        let tries_fingerprints = DryRun::default();
        let fingerprints = Access::new(Rules::new()).dry_run(tries_fingerprints.clone());
        let limits = Limits {
            max_connections: Limit::unlimited(),
            accept_rate: AcceptRate::new(rate, rate),
            access: access.refusal(refusal()),
            tried_access: Access::new(Rules::new()).dry_run(true),
            fingerprints: (fingerprints.refusal(refusal()), tries_fingerprints),
            per_client: PerClient::new(0).refusal(refusal()),
            cluster: cluster.map(|limit| limit.clone().refusal(refusal())),
            bandwidth: BandwidthLimits::new(),
            identities: Identities::default(),
        };
        limits.set(listener);
        limits
    }

    /// Sets the limits to those of `listener`.
    pub fn set(&self, listener: &Listener) {
        self.max_connections
            .set_max(listener.max_connections.map(Count::as_usize));
        let rate = rate(listener);
        self.accept_rate.set(rate, rate);
        self.access
            .set(rules(listener, |list| !listener.tries(list)));
        self.tried_access.set(rules(listener, |_| true));
        self.identities.set(&listener.tls_admit);
        let (fingerprints, tries_fingerprints) = &self.fingerprints;
        tries_fingerprints.set(listener.tries("deny-ja4"));
        fingerprints.set(denied(listener));
        let most = listener.per_client.map_or(usize::MAX, Count::as_usize);
        self.per_client.set_max(most);
        let bytes = listener.bandwidth.map(|bytes| Rate::new(bytes.get()));
        self.bandwidth.set_per_connection(bytes);
        // It is shared by all clones.
        let _ = (self.bandwidth.clone()).dry_run(listener.tries("bandwidth"));
    }
}

/// A limit that can be shown, and changed while the gateway runs. `None` means no limit.
pub struct Changeable {
    pub name: &'static str,
    pub unit: &'static str,
    pub get: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    pub set: Box<dyn Fn(Option<u64>) + Send + Sync>,
}

impl Limits {
    /// Returns `max-connections`, and those other limits that are in the stack of `listener`.
    pub fn changeable(&self, listener: &Listener) -> Vec<Changeable> {
        let (get, set) = (self.max_connections.clone(), self.max_connections.clone());
        let mut limits = vec![Changeable {
            name: "max-connections",
            unit: "connections",
            get: Box::new(move || some(get.max(), usize::MAX).map(|max| max as u64)),
            set: Box::new(move |max| set.set_max(max.map(|max| max as usize))),
        }];
        if listener.per_client.is_some() {
            let (get, set) = (self.per_client.clone(), self.per_client.clone());
            limits.push(Changeable {
                name: "per-client",
                unit: "connections",
                get: Box::new(move || some(get.max(), usize::MAX).map(|max| max as u64)),
                set: Box::new(move |max| set.set_max(max.map_or(usize::MAX, |max| max as usize))),
            });
        }
        if listener.accept_rate.is_some() {
            let (get, set) = (self.accept_rate.clone(), self.accept_rate.clone());
            limits.push(Changeable {
                name: "accept-rate",
                unit: "connections/s",
                get: Box::new(move || some(get.per_second(), f64::MAX).map(|rate| rate as u64)),
                set: Box::new(move |rate| {
                    let rate = rate.map_or(f64::MAX, |rate| rate as f64);
                    set.set(rate, rate);
                }),
            });
        }
        if listener.bandwidth.is_some() {
            let (get, set) = (self.bandwidth.clone(), self.bandwidth.clone());
            limits.push(Changeable {
                name: "bandwidth",
                unit: "bytes/s per connection",
                get: Box::new(move || get.connection_rates().read_rate().map(Rate::per_second)),
                set: Box::new(move |rate| set.set_per_connection(rate.map(Rate::new))),
            });
        }
        limits
    }

    /// Returns the limit that is shared with other gateways, if there is one.
    pub fn changeable_cluster(&self) -> Option<Changeable> {
        let (get, set) = (self.cluster.clone()?, self.cluster.clone()?);
        Some(Changeable {
            name: "cluster-per-client",
            unit: "connections",
            get: Box::new(move || some(get.max(), u32::MAX).map(u64::from)),
            set: Box::new(move |max| {
                let max = max.map_or(u32::MAX, |max| max.try_into().unwrap_or(u32::MAX));
                set.set_max(max);
            }),
        })
    }
}

/// Returns a limit, unless it is the one that means no limit.
fn some<T: PartialEq>(limit: T, unlimited: T) -> Option<T> {
    (limit != unlimited).then_some(limit)
}

/// Returns the rules of those lists for which `is_in` returns `true`.
fn rules(listener: &Listener, is_in: impl Fn(&str) -> bool) -> Rules {
    let allow = listener.allow.iter().filter(|_| is_in("allow"));
    let deny = listener.deny.iter().filter(|_| is_in("deny"));
    let rules = allow.fold(Rules::new(), |rules, net| rules.allow(*net));
    deny.fold(rules, |rules, net| rules.deny(*net))
}

/// Returns the rules by fingerprint. The fingerprints are valid.
fn denied(listener: &Listener) -> Rules {
    let rules = Rules::new().deny_ja4(&listener.deny_ja4);
    rules.unwrap_or_default()
}

/// Returns the accept rate. The burst is one second's worth of connections.
fn rate(listener: &Listener) -> f64 {
    listener
        .accept_rate
        .map_or(f64::MAX, |rate| rate.get() as f64)
}
