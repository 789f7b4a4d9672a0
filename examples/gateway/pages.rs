//! The pages: metrics and the admin page.
//!
//! They have a server of their own, so that they are served as long as the gateway has connections,
//! whatever happens to its listeners, and have no part in its limits.

use crate::{
    abuse::Abuse,
    addresses::{ADMIN, METRICS},
    admin_page::AdminPage,
    certificates::CurrentCertificates,
    common,
    config::Config,
    metrics_page::MetricsPage,
    overlap::resolve,
    page_clients::PageClients,
    serving::{Services, Serving},
    stack::BoxStack,
};
use axum::Router;
use reagent::{Addr, BoxError, Handover, Server, ServerHandle, Shutdown};
use reagent_layers::{http::HttpLayer, timeout::TimeoutsLayer};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, util::BoxCloneSyncService};

/// The time limits of the clients of a page. Its script asks every 2 s.
const OPENING: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);

/// The time that the last clients of the pages have to finish.
const END: Duration = Duration::from_secs(1);

/// The time that a successor has to take over the pages, after it has taken over the listeners.
const SUCCESSION: Duration = Duration::from_secs(5);

/// The delay between attempts to do so. The predecessor may be taking them over itself.
const RETRY: Duration = Duration::from_millis(100);

/// The pages that are configured.
pub struct Pages {
    pub metrics: Option<MetricsPage>,
    pub admin: Option<AdminPage>,
    /// The server, once it is open.
    pub serving: Option<Serving>,
}

impl Pages {
    /// Makes the pages without serving them.
    pub fn new(
        config: &Config,
        abuse: &Abuse,
        certificates: &CurrentCertificates,
    ) -> Result<Self, BoxError> {
        let pages = &config.global.pages;
        let metrics = pages.metrics.as_ref().map(|_| MetricsPage::new());
        let admin = pages.admin.as_ref();
        let admin = admin.map(|_| AdminPage::new(pages, abuse, certificates.clone()));
        Ok(Pages {
            metrics: metrics.transpose()?,
            admin: admin.transpose()?,
            serving: None,
        })
    }

    /// Checks that only this machine can reach the admin page, or that it has a token.
    pub async fn check(&self, config: &Config) -> Result<(), BoxError> {
        if let (Some(page), Some(address)) = (&self.admin, &config.global.pages.admin) {
            for addr in resolve(address).await? {
                // What systemd has opened is not known. The page looks at each client, too.
                if !matches!(addr, Addr::Other(_)) {
                    page.check_addr(&addr)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the stacks behind the addresses of the pages.
    pub fn services(&self, config: &Config) -> Services {
        let metrics = self.metrics.as_ref().map(MetricsPage::stack);
        let admin = self.admin.as_ref().map(AdminPage::stack);
        let addresses = config.page_addresses().into_iter();
        let services = addresses.filter_map(|address| {
            let stack = match &*address.label {
                METRICS => metrics.clone()?,
                ADMIN => admin.clone()?,
                _ => return None,
            };
            Some((address, stack))
        });
        services.collect()
    }

    /// Serves the pages, if there are any.
    pub async fn open(&mut self, config: &Config) -> Result<(), BoxError> {
        let services = self.services(config);
        if !services.is_empty() {
            let handover = config.global.server.handover.as_deref();
            let serving = Serving::start(services, |binds| {
                let server = Server::bind(binds)
                    .options(common::keepalive)
                    .observe(PageClients::default());
                match handover {
                    Some(path) => {
                        let handover = Handover::new(handover_path(path));
                        server.handover(handover.shutdown(Shutdown::new(END)))
                    }
                    None => server,
                }
            });
            let serving = serving.await?;
            serving.server.track_activity();
            self.serving = Some(serving);
        }
        Ok(())
    }

    /// Takes the pages over from a predecessor.
    pub async fn take_over(&mut self, config: &Config) -> Result<(), BoxError> {
        let until = Instant::now() + SUCCESSION;
        loop {
            match self.open(config).await {
                Err(_) if Instant::now() < until => sleep(RETRY).await,
                opened => return opened,
            }
        }
    }

    /// Shows the server of the gateway.
    pub fn attach(&self, server: &ServerHandle) {
        if let Some(metrics) = &self.metrics {
            metrics.health.add(server);
        }
        if let Some(admin) = &self.admin {
            admin.attach(server);
        }
    }

    /// Prints the addresses of the pages.
    pub fn print(&self, config: &Config) {
        if let Some(serving) = &self.serving {
            serving.print(&config.page_addresses());
        }
    }

    /// Waits until a successor has taken over the pages, which it may not have. Their clients wait for
    /// it too, since a server that has stopped is not worth showing.
    pub async fn until_taken(&self) {
        if let Some(serving) = &self.serving {
            serving.server.pause();
            let _ = timeout(SUCCESSION, serving.server.wait()).await;
        }
    }

    /// Stops serving the pages.
    pub async fn close(&self) {
        if let Some(serving) = &self.serving {
            serving.server.drain(END).await;
        }
    }
}

/// Returns the path by which the pages are handed over, from that of the listeners.
pub fn handover_path(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".pages");
    path.into()
}

/// Returns the stack of a page.
pub fn stack(router: Router) -> BoxStack {
    let http = HttpLayer::new()
        .first_byte_timeout(OPENING)
        .header_timeout(OPENING)
        .keep_alive_timeout(IDLE);
    let limits = TimeoutsLayer::new()
        .first_byte(OPENING)
        .idle(IDLE)
        .write(IDLE);
    BoxCloneSyncService::new(limits.layer(http.layer(router)))
}
