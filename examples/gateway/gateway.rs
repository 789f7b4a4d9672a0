//! The running gateway: one server for all listeners.

use crate::{
    abuse::Abuse,
    acme::Issuer,
    certificates::{Certificates, CurrentCertificates},
    cluster::Instance,
    common,
    config::Config,
    limits::Limits,
    options::CommandLine,
    pages::Pages,
    pools::Pools,
    server::{Parts, pressure},
    services::{limits, services},
    serving::Serving,
    succession::Succession,
    systemd::{self, Notifier},
};
use reagent::{BoxError, ServerStatus};
use reagent_layers::pressure::Pressure;
use std::{collections::HashMap, convert::Infallible, future::Future, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::interval,
};

/// A gateway that listens.
pub struct Gateway {
    pub line: CommandLine,
    pub config: Config,
    /// The listeners.
    pub serving: Serving,
    pub pages: Pages,
    /// The limits of each listener, by its label.
    pub limits: HashMap<String, Limits>,
    pub pools: Pools,
    pub certificates: CurrentCertificates,
    /// Obtains certificates by ACME.
    pub issuer: Option<Issuer>,
    pub abuse: Abuse,
    /// What this gateway shares with others.
    pub instance: Option<Instance>,
    pub pressure: Option<Pressure>,
}

/// Why the gateway no longer serves.
#[derive(PartialEq)]
enum End {
    /// A signal asks it to drain.
    Asked,
    /// A successor has taken over, or all listeners are lost.
    Stopped,
}

/// Runs the gateway until it has drained.
pub async fn run(line: CommandLine, config: Config) -> Result<(), BoxError> {
    let stop = common::signal()?;
    let mut hangups = signal(SignalKind::hangup())?;
    let mut gateway = Gateway::start(line, config).await?;
    let mut notifier = Notifier::default();
    notifier.ready();
    let end = gateway.serve(stop, &mut hangups, &mut notifier).await;
    if end == End::Asked {
        notifier.stopping();
    }
    let again = common::signal()?;
    tokio::select! {
        () = gateway.shut_down(end, again) => {}
        never = gateway.keep_up(&mut notifier) => match never {},
        never = refuse_reloads(&mut hangups) => match never {},
    }
    systemd::flush();
    Ok(())
}

async fn refuse_reloads(hangups: &mut Signal) -> Infallible {
    loop {
        hangups.recv().await;
        tracing::warn!("SIGHUP has no effect, since the gateway is shutting down");
    }
}

impl Gateway {
    /// Listens on all addresses, and prints them.
    async fn start(line: CommandLine, config: Config) -> Result<Self, BoxError> {
        let certificates = CurrentCertificates::default();
        let issuer = Issuer::new(&config)?;
        let acme = issuer.as_ref().map(|issuer| &issuer.acme);
        certificates.set(Certificates::load(&config, &Certificates::default(), acme)?);
        let abuse = Abuse::new(&config.global.abuse);
        let mut pages = Pages::new(&config, &abuse, &certificates)?;
        pages.check(&config).await?;
        let instance = Instance::start(&config.global.cluster)?;
        let cluster = instance.as_ref().map(|instance| &instance.per_client);
        let limits = limits(&config, &HashMap::new(), &abuse, cluster);
        let mut pools = Pools::new(&config, &Pools::default())?;
        let services = services(&config, &limits, &certificates.get(), &abuse, &pools)?;

        // Nobody is accepted before the pages are open, except that a predecessor hands over its
        // pages after its listeners.
        let hands_over = config.global.server.handover.is_some();
        if !hands_over {
            pages.open(&config).await?;
        }
        let succession = Succession::new(&pages);
        let pressure = pressure(&config);
        let parts = Parts {
            config: &config,
            certificates: &certificates,
            abuse: &abuse,
            instance: instance.as_ref(),
            pages: &pages,
            succession: &succession,
            pressure: pressure.as_ref(),
        };
        let serving = Serving::start(services, |binds| parts.server(binds)).await;
        let serving = or_close(serving, pages.serving.as_ref()).await?;
        pages.attach(&serving.server);
        if hands_over && !succession.has_happened() {
            let opened = pages.open(&config).await;
            or_close(opened, Some(&serving)).await?;
        }
        serving.server.set_acceptors(1);
        if succession.has_happened() {
            // The clients do not wait for the pages.
            pages.take_over(&config);
        }
        if let Some(pressure) = &pressure {
            pressure.attach(&serving.server);
        }
        pools.apply();
        let mut gateway = Gateway {
            line,
            config,
            serving,
            pages,
            limits,
            pools,
            certificates,
            issuer,
            abuse,
            instance,
            pressure,
        };
        gateway.issuer.iter().for_each(Issuer::start);
        gateway.show();
        gateway.serving.print(&gateway.config.addresses());
        gateway.pages.print(&gateway.config);
        Ok(gateway)
    }

    /// Shows the configuration on the pages.
    pub fn show(&mut self) {
        if let Some(metrics) = &self.pages.metrics {
            metrics.upstreams.show(self.pools.sets());
        }
        if let Some(admin) = &mut self.pages.admin {
            admin.show(&self.config, &self.limits, &self.pools, &self.serving);
        }
    }

    /// Reloads at every SIGHUP, until `stop` resolves or the server has stopped.
    async fn serve(
        &mut self,
        stop: impl Future<Output = ()>,
        hangups: &mut Signal,
        notifier: &mut Notifier,
    ) -> End {
        let server = self.serving.server.clone();
        let stopped = server.wait();
        tokio::pin!(stop, stopped);
        loop {
            tokio::select! {
                () = &mut stop => return End::Asked,
                _ = &mut stopped => return End::Stopped,
                never = self.keep_up(notifier) => match never {},
                serving = self.pages.taken_over() => {
                    self.pages.serving = Some(serving);
                    self.pages.print(&self.config);
                    continue;
                }
                _ = hangups.recv() => {}
            }
            if server.status() == ServerStatus::Draining {
                tracing::warn!("SIGHUP has no effect, since the gateway drains");
                continue;
            }
            notifier.reloading();
            tokio::select! {
                () = self.reload() => notifier.ready(),
                // A file may be on a disk that does not respond.
                () = &mut stop => return End::Asked,
            }
        }
    }

    /// Shuts the listeners down, and then the pages. `again` cuts that short.
    async fn shut_down(&self, end: End, again: impl Future<Output = ()>) {
        let server = &self.serving.server;
        let in_order = async {
            server
                .shutdown(self.config.global.shutdown.shutdown())
                .await;
            if end == End::Stopped && self.config.global.server.handover.is_some() {
                self.pages.until_taken().await;
            }
        };
        tokio::select! {
            () = in_order => {}
            () = again => {
                server.abort();
                let _ = server.wait().await;
            }
        }
        if let Some(instance) = &self.instance {
            // The places of the last connections.
            instance.cluster.leave().await;
        }
        self.pages.close().await;
    }

    /// Updates the metrics, the readiness and the status.
    ///
    /// Besides, this timer saves a system call per connection. Tokio wakes its driver for a timer
    /// that is earlier than all others, and no timeout is earlier than this one.
    async fn keep_up(&self, notifier: &mut Notifier) -> Infallible {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            notifier.counts(&self.serving.server);
            if self.serving.server.status() != ServerStatus::Running {
                // Names are validated by connections to the successor from now on.
                self.issuer.iter().for_each(Issuer::stop);
            }
            self.pages.readiness.update();
            if let Some(metrics) = &self.pages.metrics {
                metrics.measure(&self.serving.server, &self.certificates.get());
                self.instance.iter().for_each(Instance::measure);
                self.issuer.iter().for_each(Issuer::measure);
                self.abuse.top.refresh(&self.serving.server);
                self.abuse.measure(&metrics.observer);
                if let Some(pressure) = &self.pressure {
                    metrics.measure_pressure(&pressure.stats());
                }
            }
        }
    }
}

/// Closes what is open if the rest of the start has failed.
async fn or_close<T>(started: Result<T, BoxError>, open: Option<&Serving>) -> Result<T, BoxError> {
    if let (Err(_), Some(open)) = (&started, open) {
        open.server.abort();
        let _ = open.server.wait().await;
    }
    started
}
