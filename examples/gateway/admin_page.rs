//! The admin page.

use crate::{
    abuse::Abuse,
    certificates::CurrentCertificates,
    config::Config,
    limits::{Changeable, Limits},
    options::PageOptions,
    pages::stack,
    stack::BoxStack,
};
use axum::Router;
use reagent::{Addr, BoxError, ServerHandle};
use reagent_layers::admin::{Admin, Certificate, InsecureAddr};
use std::collections::HashMap;

/// The admin page of the gateway.
pub struct AdminPage {
    admin: Admin,
    /// The limits that can be changed.
    names: Vec<String>,
}

impl AdminPage {
    /// Creates a page without a server.
    pub fn new(
        options: &PageOptions,
        abuse: &Abuse,
        certificates: CurrentCertificates,
    ) -> Result<Self, BoxError> {
        let admin = Admin::new().bans(abuse.bans.clone()).top(abuse.top.clone());
        let mut admin = admin.certificates(move || {
            let certificates = certificates.get();
            let served = certificates.reloaders().flat_map(|tls| tls.certificates());
            let certificates = served.map(|served| Certificate {
                name: served.name,
                not_after: served.not_after,
            });
            certificates.collect()
        });
        if let Some(token) = options.token()? {
            admin = admin.token(token.0);
        }
        Ok(AdminPage {
            admin,
            names: Vec::new(),
        })
    }

    /// Checks that only this machine can reach an address, or that the page has a token.
    pub fn check_addr(&self, addr: &Addr) -> Result<(), InsecureAddr> {
        self.admin.check_addr(addr)
    }

    pub fn stack(&self) -> BoxStack {
        stack(Router::new().fallback_service(self.admin.clone()))
    }

    /// Shows this server.
    pub fn attach(&self, server: &ServerHandle) {
        self.admin.attach(server);
    }

    /// Shows the limits of this configuration. The page itself adds that of the server.
    pub fn show(&mut self, config: &Config, limits: &HashMap<String, Limits>) {
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
