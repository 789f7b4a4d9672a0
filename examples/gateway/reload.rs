//! SIGHUP: what has changed in the files is applied to the running server.

use crate::{
    acme::check_reload,
    certificates::Certificates,
    config::Config,
    gateway::Gateway,
    options::{AbuseOptions, Global},
    pools::Pools,
    services::{limits, services},
    serving::Services,
    values::Count,
};
use reagent::{BoxError, ErrorChain};
use tokio::task::spawn_blocking;

impl Gateway {
    /// Reads the files and applies them. If anything is wrong with them, nothing changes.
    pub async fn reload(&mut self) {
        let has_certificates = !self.certificates.get().is_empty();
        let reloaded = self.try_reload().await;
        if let (Some(metrics), true) = (&self.pages.metrics, has_certificates) {
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
        let issuer = self.issuer.clone();
        let read = spawn_blocking(move || {
            let config = Config::read(&line)?;
            check_reload(issuer.as_ref(), &config)?;
            let acme = issuer.as_ref().map(|issuer| &issuer.acme);
            let certificates = Certificates::load(&config, &old, acme)?;
            Ok::<_, BoxError>((config, certificates))
        });
        let (mut config, certificates) = read.await??;
        self.defer(&mut config.global);
        self.pages.check(&config).await?;
        let cluster = self.instance.as_ref().map(|instance| &instance.per_client);
        let limits = limits(&config, &self.limits, &self.abuse, cluster);
        let mut pools = Pools::new(&config, &self.pools)?;
        let listeners = services(&config, &limits, &certificates, &self.abuse, &pools)?;
        let pages = self.pages.services(&config);

        // Of what follows, only the domains and listening can fail. Then the new addresses are closed again.
        self.set_domains(&config)?;
        if let Err(error) = self.open(&listeners, &pages).await {
            self.set_domains(&self.config)?;
            return Err(error);
        }
        let certificates = spawn_blocking(|| certificates.apply()).await?;
        for listener in &config.listeners {
            limits[&listener.label].set(listener);
        }
        // All layers that have connections.
        for tls in self.certificates.get().reloaders() {
            tls.recheck().await;
        }
        self.abuse.set(&config);
        if let Some(instance) = &self.instance {
            instance.set(&config.global.cluster);
        }
        let max = config.global.server.max_connections;
        let server = &self.serving.server;
        server.set_max_connections(max.map(Count::as_usize));
        pools.apply();
        self.serving.replace(listeners).await;
        match &self.pages.serving {
            Some(serving) => serving.replace(pages).await,
            None => self.pages.take_over(&config),
        }
        self.certificates.set(certificates);
        (self.config, self.limits, self.pools) = (config, limits, pools);
        self.show();
        Ok(())
    }

    /// Obtains certificates for the domains of `config` from now on. Without any, those that are
    /// there are renewed until a restart.
    fn set_domains(&self, config: &Config) -> Result<(), BoxError> {
        let mut listeners = config.listeners.iter();
        match &self.issuer {
            Some(issuer) if listeners.any(|listener| !listener.acme_domain.is_empty()) => {
                // Reads a few small files.
                Ok(issuer.set(config)?)
            }
            _ => Ok(()),
        }
    }

    /// Opens and prints the addresses that are not open, or none of them.
    async fn open(&self, listeners: &Services, pages: &Services) -> Result<(), BoxError> {
        let opened = self.serving.open(listeners).await?;
        if let Some(serving) = &self.pages.serving {
            match serving.open(pages).await {
                Ok(opened) => serving.print(&opened),
                Err(error) => {
                    for address in opened {
                        self.serving.close(&address.key).await;
                    }
                    return Err(error);
                }
            }
        }
        self.serving.print(&opened);
        Ok(())
    }

    /// Names the options that take effect only after a restart, and restores those of the score and
    /// of pages that were not there at the start.
    fn defer(&self, new: &mut Global) {
        let (old, (metrics, admin)) = (
            &self.config.global,
            (&self.pages.metrics, &self.pages.admin),
        );
        let has_new_token = admin.is_some() && old.pages.admin_token != new.pages.admin_token;
        let changed = [
            ("threads", old.server.threads != new.server.threads),
            ("pressure", old.server.pressure != new.server.pressure),
            ("handover", old.server.handover != new.server.handover),
            ("metrics", metrics.is_none() && new.pages.metrics.is_some()),
            ("admin", admin.is_none() && new.pages.admin.is_some()),
            ("admin-token", has_new_token),
            ("acme-directory", old.acme != new.acme),
            ("cluster", !old.cluster.is_same_instance(&new.cluster)),
            ("ban-score", !old.abuse.has_same_score(&new.abuse)),
        ];
        for (key, _) in changed.iter().filter(|(_, has_changed)| *has_changed) {
            tracing::warn!("`{key}` takes effect after a restart");
        }
        new.abuse = AbuseOptions {
            tarpit: new.abuse.tarpit,
            ..old.abuse.clone()
        };
        new.acme = old.acme.clone();
        if metrics.is_none() {
            new.pages.metrics = None;
        }
        if admin.is_none() {
            new.pages.admin = None;
        }
    }
}
