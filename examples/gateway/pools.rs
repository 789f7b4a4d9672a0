//! The upstreams of all listeners and routes.

use crate::{
    config::Config,
    options::{Listener, Route},
    pool::{Pool, Shared},
    pool_spec::{List, Spec},
    values::{Target, WeightedTarget},
};
use reagent::BoxError;
use reagent_layers::upstream::{Driver, Upstreams};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinSet;

const OPEN: &str = "gateway_upstream_connections_open";
const TOTAL: &str = "gateway_upstream_connections_total";
const FAILURES: &str = "gateway_upstream_failures_total";
const AVAILABLE: &str = "gateway_upstream_available";

/// The number of upstreams that have metrics at most. The addresses of a name may change for ever.
const MOST_MEASURED: usize = 1000;

/// A listener, and one of its routes or the rest of its clients.
type Place = (String, Option<String>);

/// The sets of upstreams.
#[derive(Default)]
pub struct Pools {
    pools: HashMap<Place, Pool>,
    /// Those that were made for this configuration.
    new: Vec<(Place, Driver)>,
    /// The checks, which end with their pools.
    checks: HashMap<Place, Arc<JoinSet<()>>>,
    /// The upstreams that have metrics, by their labels.
    measured: Arc<Mutex<HashSet<(String, String)>>>,
}

impl Pools {
    /// Makes the sets of a configuration, with the state of those that are known. Nothing is in
    /// effect before [`apply`](Self::apply).
    pub fn new(config: &Config, known: &Pools) -> Result<Self, BoxError> {
        let mut pools = Pools {
            measured: known.measured.clone(),
            ..Pools::default()
        };
        for listener in &config.listeners {
            pools.add(listener, None, &listener.to, known)?;
            for route in &listener.route {
                pools.add(listener, Some(route), &route.to, known)?;
            }
        }
        Ok(pools)
    }

    fn add(
        &mut self,
        listener: &Listener,
        route: Option<&Route>,
        to: &[WeightedTarget],
        known: &Pools,
    ) -> Result<(), BoxError> {
        let spec = Spec::of(listener, route);
        let list = List::new(listener, to);
        if to.is_empty() || spec.is_plain(&list) {
            return Ok(());
        }
        let place = place(listener, route);
        let (pool, driver) = Pool::new(&place.0, spec, list, known.pools.get(&place))?;
        match (driver, known.checks.get(&place)) {
            (Some(driver), _) => self.new.push((place.clone(), driver)),
            (None, Some(checks)) if pool.spec.check.is_some() => {
                self.checks.insert(place.clone(), checks.clone());
            }
            _ => {}
        }
        self.pools.insert(place, pool);
        Ok(())
    }

    /// Puts the sets into effect, and begins the checks of those that are new.
    pub fn apply(&mut self) {
        self.pools.values_mut().for_each(Pool::apply);
        for (place, driver) in self.new.drain(..) {
            let mut checks = JoinSet::new();
            checks.spawn(driver);
            self.checks.insert(place, Arc::new(checks));
        }
    }

    /// Returns the upstreams of a listener or a route, unless they are a plain address.
    pub fn get(&self, listener: &Listener, route: Option<&Route>) -> Option<Arc<Shared>> {
        let pool = self.pools.get(&place(listener, route))?;
        Some(pool.shared.clone())
    }

    /// Returns all sets, with the labels of their listeners and the routes.
    pub fn sets(&self) -> Vec<(String, Upstreams<Target>)> {
        let sets = self.pools.iter().map(|((label, route), pool)| {
            let name = match route {
                Some(route) => format!("{label}, {}", route.trim_end_matches(':')),
                None => label.clone(),
            };
            (name, pool.shared.set.clone())
        });
        let mut sets: Vec<_> = sets.collect();
        sets.sort_by(|(one, _), (other, _)| one.cmp(other));
        sets
    }

    /// Updates the metrics. Upstreams that are gone have no connections.
    pub fn measure(&self) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = measured.clone();
        for (listener, set) in self.sets() {
            for stats in set.stats() {
                let upstream = (listener.clone(), stats.name.to_string());
                if measured.len() >= MOST_MEASURED && !measured.contains(&upstream) {
                    continue;
                }
                gone.remove(&upstream);
                measured.insert(upstream.clone());
                let labels = labels(upstream);
                metrics::gauge!(OPEN, &labels).set(stats.open as f64);
                metrics::counter!(TOTAL, &labels).absolute(stats.total);
                metrics::counter!(FAILURES, &labels).absolute(stats.failures);
                let is_available = f64::from(u8::from(stats.state.is_available()));
                metrics::gauge!(AVAILABLE, &labels).set(is_available);
            }
        }
        for upstream in gone {
            let labels = labels(upstream);
            metrics::gauge!(OPEN, &labels).set(0.0);
            metrics::gauge!(AVAILABLE, &labels).set(0.0);
        }
    }

    /// Describes the metrics.
    pub fn describe() {
        metrics::describe_gauge!(OPEN, "Open connections to an upstream");
        metrics::describe_counter!(TOTAL, "Connections made to an upstream");
        metrics::describe_counter!(FAILURES, "Failed attempts and connections of an upstream");
        metrics::describe_gauge!(AVAILABLE, "Whether an upstream is used");
    }
}

fn labels((listener, upstream): (String, String)) -> [(&'static str, String); 2] {
    [("listener", listener), ("upstream", upstream)]
}

fn place(listener: &Listener, route: Option<&Route>) -> Place {
    (listener.label.clone(), route.map(ToString::to_string))
}
