//! The pages: metrics and the admin page.
//!
//! They have a server of their own, so that they are served as long as the gateway has connections,
//! whatever happens to its listeners, and have no part in its limits.

use crate::{
    abuse::Abuse,
    addresses::{ADMIN, METRICS},
    admin_page::AdminPage,
    certificates::CurrentCertificates,
    config::Config,
    metrics_page::MetricsPage,
    overlap::resolve,
    page_server::{handover_path, open, take_over},
    readiness::Readiness,
    serving::{Services, Serving},
    stack::BoxStack,
};
use axum::{Router, extract::Request};
use reagent::{Addr, BoxError, ServerHandle, ServerStatus};
use reagent_layers::{http::HttpLayer, timeout::TimeoutsLayer};
use std::{future::pending, path::PathBuf, time::Duration};
use tokio::{sync::Mutex, task::JoinSet, time::timeout};
use tower::{
    Layer,
    util::{BoxCloneSyncService, MapRequestLayer},
};

/// The time limits of the clients of a page. Its script asks every 2 s.
const OPENING: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);

/// The time that the last clients of the pages have to finish.
const END: Duration = Duration::from_secs(1);

/// The time that a successor has to take over the pages, after the last connection of the listeners
/// has ended.
const SUCCESSION: Duration = Duration::from_secs(5);

/// The pages that are configured.
pub struct Pages {
    pub metrics: Option<MetricsPage>,
    pub admin: Option<AdminPage>,
    pub readiness: Readiness,
    /// The server, once it is open.
    pub serving: Option<Serving>,
    /// The path by which they are handed over.
    handover: Option<PathBuf>,
    /// The task that takes them over from a predecessor.
    successor: Mutex<JoinSet<Serving>>,
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
            readiness: Readiness::default(),
            serving: None,
            handover: config.global.server.handover.as_deref().map(handover_path),
            successor: Mutex::default(),
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
        let metrics = self.metrics.as_ref();
        let metrics = metrics.map(|page| page.stack(&self.readiness));
        let admin = self.admin.as_ref();
        let admin = admin.map(|page| page.stack(&self.readiness));
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
            self.serving = Some(open(services, self.handover.as_deref()).await?);
        }
        Ok(())
    }

    /// Begins to take the pages over from a predecessor.
    pub fn take_over(&mut self, config: &Config) {
        let services = self.services(config);
        let successor = self.successor.get_mut();
        successor.abort_all();
        if let (Some(path), false) = (&self.handover, services.is_empty()) {
            successor.spawn(take_over(services, path.clone()));
        }
    }

    /// Waits until the pages have been taken over.
    ///
    /// Cancel safe.
    pub async fn taken_over(&self) -> Serving {
        let mut successor = self.successor.lock().await;
        while let Some(serving) = successor.join_next().await {
            if let Ok(serving) = serving {
                return serving;
            }
        }
        pending().await
    }

    /// Shows the server of the gateway.
    pub fn attach(&self, server: &ServerHandle) {
        self.readiness.attach(server);
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

    /// Waits until a successor has taken over the pages, which it may not have, and for the requests
    /// that are under way.
    pub async fn until_taken(&self) {
        if let Some(serving) = &self.serving {
            let server = &serving.server;
            let taken = server.status_changed(ServerStatus::Running);
            if timeout(SUCCESSION, taken).await.is_ok() {
                let _ = server.wait().await;
            }
        }
    }

    /// Stops serving the pages.
    pub async fn close(&self) {
        let mut successor = self.successor.lock().await;
        successor.abort_all();
        // They may have been opened in the last moment.
        while let Some(serving) = successor.join_next().await {
            if let Ok(serving) = serving {
                serving.server.drain(END).await;
            }
        }
        if let Some(serving) = &self.serving {
            serving.server.drain(END).await;
        }
    }
}

/// Returns the stack of a page.
pub fn stack(router: Router, readiness: &Readiness) -> BoxStack {
    let readiness = readiness.clone();
    let router = router.layer(MapRequestLayer::new(move |request: Request| {
        // What the last request has changed is in the answer to this one.
        readiness.update();
        request
    }));
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
