//! The admin page.

use crate::{
    abuse::Abuse,
    certificates::CurrentCertificates,
    config::Config,
    limits::{Changeable, Limits},
    options::PageOptions,
    pages::stack,
    pools::Pools,
    readiness::Readiness,
    serving::Serving,
    stack::BoxStack,
    values::Target,
};
use axum::Router;
use reagent::{Addr, BoxError, Limit, ServerHandle};
use reagent_layers::{
    admin::{Admin, Certificate, InsecureAddr, ListenerInfo, UpstreamChange, UpstreamInfo},
    upstream::{UpstreamStats, Upstreams},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The admin page of the gateway.
pub struct AdminPage {
    pub admin: Admin,
    /// The limits that can be changed.
    names: Vec<String>,
    listeners: Listeners,
    upstreams: ShownUpstreams,
}

/// The sets of upstreams that are shown, with the labels of their listeners.
type ShownUpstreams = Arc<Mutex<Vec<(String, Upstreams<Target>)>>>;

/// What is shown of the listeners, by the addresses of their sockets. A reload can change it.
type Listeners = Arc<Mutex<HashMap<Addr, (String, Limit)>>>;

impl AdminPage {
    /// Creates a page without a server.
    pub fn new(
        options: &PageOptions,
        abuse: &Abuse,
        certificates: CurrentCertificates,
    ) -> Result<Self, BoxError> {
        let admin = Admin::new().bans(abuse.bans.clone()).top(abuse.top.clone());
        let listeners = Listeners::default();
        let shown = listeners.clone();
        let admin = admin.listeners(move |addr| {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.get(addr).map(|(label, limit)| ListenerInfo {
                label: Some(label.clone()),
                max_connections: Some(limit.max()).filter(|max| *max < usize::MAX),
            })
        });
        let mut admin = admin.certificates(move || {
            let certificates = certificates.get();
            let served = certificates.reloaders().flat_map(|tls| tls.certificates());
            let certificates = served.map(|served| Certificate {
                name: served.name,
                not_after: served.not_after,
            });
            certificates.collect()
        });
        let upstreams = ShownUpstreams::default();
        let shown = upstreams.clone();
        admin = admin.upstreams(move || {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let infos = shown.iter().flat_map(|(listener, set)| {
                let stats = set.stats().into_iter();
                stats.map(|stats| info(listener, stats))
            });
            infos.collect()
        });
        let shown = upstreams.clone();
        admin = admin.change_upstreams(move |label, name, change| {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let found = shown.iter().find(|(listener, _)| listener == label);
            found.is_some_and(|(_, set)| match change {
                UpstreamChange::Drain => set.drain(name),
                UpstreamChange::Resume => set.resume(name),
                UpstreamChange::SetWeight(weight) => set.set_weight(name, weight),
                _ => false,
            })
        });
        if let Some(token) = options.token()? {
            admin = admin.token(token.0);
        }
        Ok(AdminPage {
            admin,
            names: Vec::new(),
            listeners,
            upstreams,
        })
    }

    /// Checks that only this machine can reach an address, or that the page has a token.
    pub fn check_addr(&self, addr: &Addr) -> Result<(), InsecureAddr> {
        self.admin.check_addr(addr)
    }

    pub fn stack(&self, readiness: &Readiness) -> BoxStack {
        stack(
            Router::new().fallback_service(self.admin.clone()),
            readiness,
        )
    }

    /// Shows this server.
    pub fn attach(&self, server: &ServerHandle) {
        self.admin.attach(server);
    }

    /// Shows the limits of this configuration. The page itself adds that of the server.
    pub fn show(
        &mut self,
        config: &Config,
        limits: &HashMap<String, Limits>,
        pools: &Pools,
        serving: &Serving,
    ) {
        *self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = pools.sets();
        let addresses = config.addresses().into_iter();
        let shown = addresses.flat_map(|address| {
            let limit = limits[&address.label].max_connections.clone();
            let addrs = serving.addrs(&address.key).into_iter();
            addrs.map(move |addr| (addr, (address.label.clone(), limit.clone())))
        });
        let shown = shown.collect();
        *self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = shown;
        for name in self.names.drain(..) {
            self.admin.remove_limit(&name);
        }
        for listener in &config.listeners {
            for limit in limits[&listener.label].changeable(listener) {
                // The name is the same however many listeners there are.
                let name = format!("{} {}", listener.label, limit.name);
                self.add(&name, limit);
                self.names.push(name);
            }
        }
        // All listeners share it.
        if let Some(limit) = limits.values().find_map(Limits::changeable_cluster) {
            self.add(limit.name, limit);
        }
    }

    fn add(&self, name: &str, limit: Changeable) {
        let Changeable { unit, get, set, .. } = limit;
        let set = move |max| {
            set(max);
            Ok(())
        };
        self.admin.set_limit(name, unit, get, set);
    }
}

fn info(listener: &str, stats: UpstreamStats) -> UpstreamInfo {
    UpstreamInfo {
        set: listener.to_owned(),
        name: stats.name.to_string(),
        weight: stats.weight,
        open: stats.open,
        total: stats.total,
        failures: stats.failures,
        is_available: stats.state.is_available(),
        state: stats.state.to_string(),
        since: stats.since,
        last_error: stats.last_error.map(|error| error.to_string()),
    }
}
