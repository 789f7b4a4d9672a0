//! The stacks behind all addresses of a configuration.

use crate::{
    addresses::{ADMIN, Address, METRICS},
    admin_page::AdminPage,
    certificates::Certificates,
    config::Config,
    limits::Limits,
    metrics_page::MetricsPage,
    stack::{BoxStack, Parts},
};
use reagent::BoxError;
use reagent_layers::access::Bans;
use std::collections::HashMap;

/// Returns the limits of all listeners, with the state of those that are known.
pub fn limits(
    config: &Config,
    known: &HashMap<String, Limits>,
    bans: &Bans,
) -> HashMap<String, Limits> {
    let limits = config.listeners.iter().map(|listener| {
        let known = known.get(&listener.label).cloned();
        let limits = known.unwrap_or_else(|| Limits::new(listener, bans));
        (listener.label.clone(), limits)
    });
    limits.collect()
}

/// Returns the stacks of pages, by the labels of their listeners.
pub fn pages(
    metrics: Option<&MetricsPage>,
    admin: Option<&AdminPage>,
) -> Vec<(&'static str, BoxStack)> {
    let metrics = metrics.map(|page| (METRICS, page.stack()));
    let admin = admin.map(|page| (ADMIN, page.stack()));
    metrics.into_iter().chain(admin).collect()
}

/// Makes the stack behind each address.
pub fn services(
    config: &Config,
    limits: &HashMap<String, Limits>,
    certificates: &Certificates,
    pages: Vec<(&'static str, BoxStack)>,
) -> Result<Vec<(Address, BoxStack)>, BoxError> {
    let mut made: HashMap<&str, BoxStack> = pages.into_iter().collect();
    let has_bans = made.contains_key(ADMIN);
    for listener in &config.listeners {
        let parts = Parts {
            listener,
            limits: &limits[&listener.label],
            certificates,
            has_bans,
        };
        made.insert(&listener.label, parts.stack()?.service);
    }
    let addresses = config.addresses().into_iter();
    let services = addresses.filter_map(|address| {
        let stack = made.get(&*address.label)?.clone();
        Some((address, stack))
    });
    Ok(services.collect())
}
