//! The running gateway: one server for all listeners.

use crate::{
    addresses::{ADMIN, Address, METRICS, Stacks},
    admin_page::AdminPage,
    certificates::{Certificates, CurrentCertificates},
    common,
    config::Config,
    limits::Limits,
    metrics_page::MetricsPage,
    options::CommandLine,
    services::{limits, pages, services},
    systemd::{self, MainProcess, Notifier},
};
use reagent::{Acceptor, Bind, BoxError, Handover, ReadinessHold, Server, ServerHandle};
use reagent_layers::{access::Bans, trace::TraceObserver};
use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Future, ready},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};
use tower::service_fn;

/// A gateway that listens.
pub struct Gateway {
    pub server: ServerHandle,
    pub line: CommandLine,
    pub config: Config,
    pub stacks: Stacks,
    /// The limits of each listener, by its label.
    pub limits: HashMap<String, Limits>,
    pub certificates: CurrentCertificates,
    /// The clients that were banned on the admin page.
    pub bans: Bans,
    pub metrics: Option<MetricsPage>,
    pub admin: Option<AdminPage>,
    /// Holds the readiness back while no client is accepted.
    hold: Mutex<Option<ReadinessHold>>,
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
    let mut gateway = Gateway::start(line, config).await?;
    let mut notifier = Notifier::default();
    notifier.ready();
    if gateway.serve(stop, &mut notifier).await? == End::Asked {
        notifier.stopping();
    }
    let again = common::signal()?;
    let server = gateway.server.clone();
    let shutdown = server.shutdown(gateway.config.global.shutdown());
    let ended = async {
        tokio::select! {
            _ = shutdown => {}
            () = again => {
                server.abort();
                let _ = server.wait().await;
            }
        }
    };
    tokio::select! {
        () = ended => {}
        never = gateway.keep_up(&mut notifier) => match never {},
    }
    systemd::flush();
    Ok(())
}

impl Gateway {
    /// Listens on all addresses, and prints them.
    async fn start(line: CommandLine, config: Config) -> Result<Self, BoxError> {
        let certificates = CurrentCertificates::default();
        certificates.set(Certificates::load(&config, &Certificates::default())?);
        AdminPage::check(&config.global).await?;
        let bans = Bans::new();
        let metrics = config.global.metrics.as_ref().map(|_| MetricsPage::new());
        let metrics = metrics.transpose()?;
        let admin = config.global.admin.as_ref();
        let admin =
            admin.map(|_| AdminPage::new(&config.global, bans.clone(), certificates.clone()));

        let stacks = Stacks::default();
        let make = stacks.clone();
        let make = service_fn(move |acceptor: Acceptor| ready(make.make(&acceptor)));
        let limits = limits(&config, &HashMap::new(), &bans);
        let pages = pages(metrics.as_ref(), admin.as_ref());
        for (address, stack) in services(&config, &limits, &certificates.get(), pages)? {
            stacks.set(&address.key, stack);
        }
        let server = server(&config, &certificates, &bans, metrics.as_ref());
        let server = server.start_make(make).await?;
        let mut gateway = Gateway {
            server,
            line,
            config,
            stacks,
            limits,
            certificates,
            bans,
            metrics,
            admin,
            hold: Mutex::default(),
        };
        if let Some(metrics) = &gateway.metrics {
            metrics.health.add(&gateway.server);
        }
        gateway.show();
        gateway.print(&gateway.config.addresses());
        Ok(gateway)
    }

    /// Shows the configuration on the admin page.
    pub fn show(&mut self) {
        if let Some(admin) = &mut self.admin {
            admin.show(&self.server, &self.config, &self.limits);
        }
    }

    /// Prints the addresses of sockets.
    pub fn print(&self, addresses: &[Address]) {
        for address in addresses {
            let what = address.what();
            for addr in self.stacks.addrs(&address.key) {
                common::print(format_args!("{what} on {addr}"));
            }
        }
    }

    /// Reloads at every SIGHUP, until `stop` resolves or the server has stopped.
    async fn serve(
        &mut self,
        stop: impl Future<Output = ()>,
        notifier: &mut Notifier,
    ) -> Result<End, BoxError> {
        let mut hangup = signal(SignalKind::hangup())?;
        let server = self.server.clone();
        let stopped = server.wait();
        tokio::pin!(stop, stopped);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(End::Asked),
                _ = &mut stopped => return Ok(End::Stopped),
                never = self.keep_up(notifier) => match never {},
                _ = hangup.recv() => {}
            }
            notifier.reloading();
            tokio::select! {
                () = self.reload() => notifier.ready(),
                // A file may be on a disk that does not respond.
                () = &mut stop => return Ok(End::Asked),
            }
        }
    }

    /// Holds the readiness back while all addresses but those of the pages are paused or closed.
    fn hold_readiness(&self) {
        let stats = self.server.stats();
        let is_page = |label: Option<&str>| matches!(label, Some(METRICS | ADMIN));
        let accepts = stats.listeners.iter().any(|listener| {
            !is_page(listener.label.as_deref()) && !listener.is_paused && listener.lost.is_none()
        });
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        if accepts {
            *hold = None;
        } else if hold.is_none() {
            *hold = Some(self.server.readiness().hold("no address accepts clients"));
        }
    }

    /// Updates the metrics, the readiness and the status.
    ///
    /// Besides, this timer saves a system call per connection. Tokio wakes its driver for a timer
    /// that is earlier than all others, and no timeout is earlier than this one.
    async fn keep_up(&self, notifier: &mut Notifier) -> Infallible {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            notifier.counts(&self.server);
            self.hold_readiness();
            if let Some(metrics) = &self.metrics {
                metrics.measure(&self.server, &self.certificates.get());
            }
        }
    }
}

/// Configures the server.
fn server(
    config: &Config,
    certificates: &CurrentCertificates,
    bans: &Bans,
    metrics: Option<&MetricsPage>,
) -> Server {
    let binds: Vec<Bind> = config.addresses().iter().map(Address::bind).collect();
    let mut server = Server::bind(binds).options(common::keepalive).observe(
        TraceObserver::new()
            .end_level(tracing::Level::DEBUG)
            .failure_level(tracing::Level::INFO),
    );
    if let Some(max) = config.max_connections() {
        server = server.max_connections(max);
    }
    if let Some(path) = &config.global.handover {
        let handover = Handover::new(path).shutdown(config.global.shutdown());
        server = server.observe(MainProcess);
        server = server.handover(handover.carry(certificates.clone()).carry(bans.clone()));
    }
    match metrics {
        Some(metrics) => server.observe(metrics.observer.clone()),
        None => server,
    }
}
