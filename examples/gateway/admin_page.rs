//! The admin page.

use crate::{
    certificates::CurrentCertificates,
    check,
    config::Config,
    limits::{Changeable, Limits},
    options::Global,
    stack::{BoxStack, page},
};
use axum::Router;
use reagent::{BoxError, ServerHandle};
use reagent_layers::{
    access::Bans,
    admin::{Admin, Certificate},
};
use std::collections::HashMap;

/// The admin page of the gateway.
pub struct AdminPage {
    admin: Admin,
    /// The limits that can be changed.
    names: Vec<String>,
}

impl AdminPage {
    /// Creates a page without a server.
    pub fn new(global: &Global, bans: Bans, certificates: CurrentCertificates) -> Self {
        let mut admin = Admin::new().bans(bans).certificates(move || {
            let certificates = certificates.get();
            let served = certificates.reloaders().flat_map(|tls| tls.certificates());
            let certificates = served.map(|served| Certificate {
                name: served.name,
                not_after: served.not_after,
            });
            certificates.collect()
        });
        if let Some(token) = global.admin_token() {
            admin = admin.token(token);
        }
        AdminPage {
            admin,
            names: Vec::new(),
        }
    }

    /// Checks that only this machine can reach the page, or that it has a token.
    pub async fn check(global: &Global) -> Result<(), BoxError> {
        let (Some(address), None) = (&global.admin, global.admin_token()) else {
            return Ok(());
        };
        for addr in check::resolve(address).await? {
            Admin::new().check_addr(&addr.into())?;
        }
        Ok(())
    }

    pub fn stack(&self) -> BoxStack {
        page(Router::new().fallback_service(self.admin.clone()))
    }

    /// Shows this server, with the limits of its configuration.
    pub fn show(
        &mut self,
        server: &ServerHandle,
        config: &Config,
        limits: &HashMap<String, Limits>,
    ) {
        self.admin.attach(server);
        for name in self.names.drain(..) {
            self.admin.remove_limit(&name);
        }
        let (get, set, reserved) = (server.clone(), server.clone(), config.reserved());
        self.limit(
            "max-connections",
            Changeable {
                name: "max-connections",
                unit: "connections",
                // Without the connections of pages, as in the configuration.
                get: Box::new(move || {
                    let max = get.stats().max_connections?;
                    Some(max.saturating_sub(reserved) as u64)
                }),
                set: Box::new(move |max| {
                    let max = max.map(|max| (max as usize).saturating_add(reserved));
                    set.set_max_connections(max);
                }),
            },
        );
        for listener in &config.listeners {
            for limit in limits[&listener.label].changeable(listener) {
                let name = match config.listeners.len() {
                    1 => limit.name.to_owned(),
                    _ => format!("{} {}", listener.label, limit.name),
                };
                self.limit(&name, limit);
            }
        }
    }

    fn limit(&mut self, name: &str, limit: Changeable) {
        let Changeable { unit, get, set, .. } = limit;
        let set = move |max| {
            set(max);
            Ok(())
        };
        self.admin.set_limit(name, unit, get, set);
        self.names.push(name.to_owned());
    }
}
