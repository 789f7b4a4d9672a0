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
use std::{collections::HashMap, sync::Arc};
use tokio::task::JoinSet;

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
}

impl Pools {
    /// Makes the sets of a configuration, with the state of those that are known. Nothing is in
    /// effect before [`apply`](Self::apply).
    pub fn new(config: &Config, known: &Pools) -> Result<Self, BoxError> {
        let mut pools = Pools::default();
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
        let place = place(listener, route);
        // A single address needs no set, unless there is one that has counts.
        let needs_none = spec.is_plain(&list) && !known.pools.contains_key(&place);
        if to.is_empty() || needs_none {
            return Ok(());
        }
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
}

fn place(listener: &Listener, route: Option<&Route>) -> Place {
    (listener.label.clone(), route.map(ToString::to_string))
}
