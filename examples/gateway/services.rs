//! The stacks behind the addresses of all listeners.

use crate::{
    certificates::Certificates, config::Config, limits::Limits, serving::Services, stack::Parts,
};
use reagent::BoxError;
use reagent_layers::{access::Bans, cluster::ClusterPerClient};
use std::collections::HashMap;

/// Returns the limits of all listeners, with the state of those that are known.
pub fn limits(
    config: &Config,
    known: &HashMap<String, Limits>,
    bans: &Bans,
    cluster: Option<&ClusterPerClient>,
) -> HashMap<String, Limits> {
    let limits = config.listeners.iter().map(|listener| {
        let known = known.get(&listener.label).cloned();
        let limits = known.unwrap_or_else(|| Limits::new(listener, bans, cluster));
        (listener.label.clone(), limits)
    });
    limits.collect()
}

/// Makes the stack behind each address.
pub fn services(
    config: &Config,
    limits: &HashMap<String, Limits>,
    certificates: &Certificates,
    has_bans: bool,
) -> Result<Services, BoxError> {
    let mut stacks = HashMap::new();
    for listener in &config.listeners {
        let parts = Parts {
            listener,
            limits: &limits[&listener.label],
            certificates,
            has_bans,
        };
        stacks.insert(&*listener.label, parts.stack()?.service);
    }
    let addresses = config.addresses().into_iter();
    let services = addresses.map(|address| {
        let stack = stacks[&*address.label].clone();
        (address, stack)
    });
    Ok(services.collect())
}
