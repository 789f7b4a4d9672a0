//! The stacks behind the addresses of all listeners.

use crate::{
    abuse::Abuse, certificates::Certificates, config::Config, limits::Limits, pools::Pools,
    serving::Services, stack::Parts,
};
use reagent::BoxError;
use reagent_layers::cluster::ClusterPerClient;
use std::collections::HashMap;

/// Returns the limits of all listeners, with the state of those that are known.
pub fn limits(
    config: &Config,
    known: &HashMap<String, Limits>,
    abuse: &Abuse,
    cluster: Option<&ClusterPerClient>,
) -> HashMap<String, Limits> {
    let limits = config.listeners.iter().map(|listener| {
        let known = known.get(&listener.label).cloned();
        let limits = known.unwrap_or_else(|| Limits::new(listener, abuse, cluster));
        (listener.label.clone(), limits)
    });
    limits.collect()
}

/// Makes the stack behind each address.
pub fn services(
    config: &Config,
    limits: &HashMap<String, Limits>,
    certificates: &Certificates,
    abuse: &Abuse,
    pools: &Pools,
) -> Result<Services, BoxError> {
    let mut stacks = HashMap::new();
    for listener in &config.listeners {
        let parts = Parts {
            listener,
            limits: &limits[&listener.label],
            certificates,
            pools,
            tarpit: &abuse.tarpit,
            has_bans: config.has_bans(),
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
