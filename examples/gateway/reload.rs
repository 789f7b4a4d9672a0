//! SIGHUP: what has changed in the files is applied to the running server.

use crate::{
    addresses::Address,
    admin_page::AdminPage,
    certificates::Certificates,
    config::Config,
    gateway::Gateway,
    options::Global,
    services::{limits, pages, services},
};
use reagent::{BoxError, ErrorChain};
use std::collections::HashSet;
use tokio::task::spawn_blocking;

impl Gateway {
    /// Reads the files and applies them. If anything is wrong with them, nothing changes.
    pub async fn reload(&mut self) {
        if self.config.file.is_none() && self.certificates.get().is_empty() {
            return tracing::warn!("nothing to reload");
        }
        let has_certificates = !self.certificates.get().is_empty();
        let reloaded = self.try_reload().await;
        if let (Some(metrics), true) = (&self.metrics, has_certificates) {
            metrics.observer.certificates_reloaded(reloaded.is_ok());
        }
        let what = match self.config.file {
            Some(_) => "configuration and certificates",
            None => "certificates",
        };
        match reloaded {
            Ok(()) => tracing::info!("{what} reloaded"),
            Err(error) => {
                let error = ErrorChain(&*error);
                tracing::error!(%error, "{what} not reloaded; the old ones remain in use");
            }
        }
    }

    async fn try_reload(&mut self) -> Result<(), BoxError> {
        // Everything is read and made before anything is changed.
        let (line, old) = (self.line.clone(), self.certificates.get());
        let read = spawn_blocking(move || {
            let config = Config::read(&line)?;
            let certificates = Certificates::load(&config, &old)?;
            Ok::<_, BoxError>((config, certificates))
        });
        let (mut config, certificates) = read.await??;
        AdminPage::check(&config.global).await?;
        self.defer(&mut config.global);
        let limits = limits(&config, &self.limits, &self.bans);
        let pages = pages(self.metrics.as_ref(), self.admin.as_ref());
        let services = services(&config, &limits, &certificates, pages)?;

        // Of what follows, only listening can fail. Then the new addresses are closed again.
        let open = self.stacks.keys();
        let wanted: HashSet<_> = services
            .iter()
            .map(|(address, _)| address.key.clone())
            .collect();
        let (old, new): (Vec<_>, Vec<_>) = services
            .into_iter()
            .partition(|(address, _)| open.contains(&address.key));
        let new_addresses: Vec<Address> = new.iter().map(|(address, _)| address.clone()).collect();
        for (address, stack) in new {
            self.stacks.set(&address.key, stack);
        }
        if let Err(error) = self.listen(&new_addresses).await {
            for address in &new_addresses {
                self.stacks.remove(&address.key);
            }
            return Err(error);
        }
        self.print(&new_addresses);

        for listener in &config.listeners {
            limits[&listener.label].set(listener);
        }
        for (address, stack) in old {
            self.stacks.set(&address.key, stack);
            for addr in self.stacks.addrs(&address.key) {
                self.server
                    .set_listener_max_connections(&addr, address.max_connections);
            }
        }
        self.server.set_max_connections(config.max_connections());
        self.server.remake_services();
        for key in open.difference(&wanted) {
            for addr in self.stacks.addrs(key) {
                self.server.close_listener(&addr).await;
            }
            self.stacks.remove(key);
        }
        self.certificates.set(certificates);
        (self.config, self.limits) = (config, limits);
        self.show();
        Ok(())
    }

    async fn listen(&self, addresses: &[Address]) -> Result<(), BoxError> {
        if !addresses.is_empty() {
            let binds: Vec<_> = addresses.iter().map(Address::bind).collect();
            self.server.listen(binds).await?;
        }
        Ok(())
    }

    /// Names the options that take effect only after a restart, and leaves out pages that were not
    /// there at the start.
    fn defer(&self, new: &mut Global) {
        let old = &self.config.global;
        let has_new_token = self.admin.is_some() && old.admin_token != new.admin_token;
        let changed = [
            ("threads", old.threads != new.threads),
            ("handover", old.handover != new.handover),
            ("metrics", self.metrics.is_none() && new.metrics.is_some()),
            ("admin", self.admin.is_none() && new.admin.is_some()),
            ("admin-token", has_new_token),
        ];
        for (key, _) in changed.iter().filter(|(_, has_changed)| *has_changed) {
            tracing::warn!("`{key}` takes effect after a restart");
        }
        if self.metrics.is_none() {
            new.metrics = None;
        }
        if self.admin.is_none() {
            new.admin = None;
        }
    }
}
