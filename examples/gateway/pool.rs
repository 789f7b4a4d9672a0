//! The upstreams of a listener or a route, if they are more than a single address: several, with
//! TLS, or with checks.

use crate::{
    header,
    options::{Balance, HealthCheck, Listener, ProxyOut},
    upstream,
    values::{Target, WeightedTarget, join},
};
use reagent::{BoxError, Connection};
use reagent_layers::{
    connect::{Connect, ConnectError, ConnectRequest, FailedAttempt, TlsClient, UpstreamIo},
    relay::{Relay, RelayError},
    upstream::{Blameless, Check, Driver, Key, StateChange, Upstream, UpstreamState, Upstreams},
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tower::{Service, service_fn};

/// The time limit for all attempts to reach an upstream.
const TIMEOUT: Duration = Duration::from_secs(9);

/// The time limit for one attempt.
const ATTEMPT: Duration = Duration::from_secs(3);

/// What a set is made from. It is kept by a reload that changes none of this.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub balance: Balance,
    pub check: Option<HealthCheck>,
    pub tls: Option<UpstreamTls>,
    pub proxy_out: Option<ProxyOut>,
}

/// The options of TLS to upstreams.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    pub ca: Option<PathBuf>,
    pub name: Option<String>,
}

impl Spec {
    pub fn of(listener: &Listener) -> Self {
        Spec {
            balance: listener.balance,
            check: listener.health_check.clone(),
            tls: listener.to_tls.then(|| UpstreamTls {
                ca: listener.to_ca.clone(),
                name: listener.to_name.clone(),
            }),
            proxy_out: listener.proxy_out,
        }
    }

    /// Returns whether a single address needs nothing of a set.
    pub fn is_plain(&self, to: &[WeightedTarget]) -> bool {
        to.len() == 1 && self.check.is_none() && self.tls.is_none()
    }

    /// Describes the upstreams, as they are printed.
    pub fn line(&self, to: &[WeightedTarget]) -> String {
        let mut line = join("to ", to);
        if to.len() > 1 {
            line += match self.balance {
                Balance::P2c => ", by open connections",
                Balance::Hash => ", by client address",
            };
        }
        if let Some(tls) = &self.tls {
            line += ", with TLS";
            if let Some(ca) = &tls.ca {
                line += &format!(" certified by {}", ca.display());
            }
            if let Some(name) = &tls.name {
                line += &format!(" for {name}");
            }
        }
        if let Some(check) = &self.check {
            line += &format!(", checked by {check}");
        }
        line
    }

    /// Returns the connectors of clients and of checks.
    fn connectors(&self) -> Result<Connectors, BoxError> {
        let plain = Connect::new().timeout(ATTEMPT).attempt_timeout(ATTEMPT);
        let clients = match &self.tls {
            None => plain.clone(),
            Some(tls) => {
                let mut client = TlsClient::builder();
                if let Some(ca) = &tls.ca {
                    client = client.authorities(ca);
                }
                if let Some(name) = &tls.name {
                    client = client.server_name(name);
                }
                plain.clone().tls(client.build()?)
            }
        };
        let checks = match self.check {
            Some(HealthCheck::Tcp) => plain,
            _ => clients.clone(),
        };
        Ok(Connectors { clients, checks })
    }

    fn check(&self) -> Option<Check> {
        Some(match self.check.as_ref()? {
            HealthCheck::Tcp | HealthCheck::Tls => Check::connect(),
            HealthCheck::Http(path) => {
                let name = self.tls.as_ref().and_then(|tls| tls.name.as_deref());
                Check::http(name.unwrap_or("localhost"), path)
            }
        })
    }

    /// Returns what a connection of a check begins with.
    fn check_preface(&self) -> Result<Vec<u8>, BoxError> {
        Ok(match self.proxy_out {
            Some(version) => header::of_check(version)?,
            None => Vec::new(),
        })
    }
}

#[derive(Clone)]
struct Connectors {
    clients: Connect,
    checks: Connect,
}

/// The upstreams as connections use them.
pub struct Shared {
    pub set: Upstreams<Target>,
    connectors: Mutex<Connectors>,
    proxy_out: Option<ProxyOut>,
}

/// The upstreams as a configuration has them. A reload makes another, and applies it if nothing is
/// wrong.
pub struct Pool {
    pub shared: Arc<Shared>,
    pub spec: Spec,
    to: Vec<WeightedTarget>,
    connectors: Connectors,
}

impl Pool {
    /// Makes a pool, with the state of the one that was there if it can be kept. Returns the driver
    /// of one that is new.
    pub fn new(
        label: &str,
        spec: Spec,
        to: &[WeightedTarget],
        known: Option<&Pool>,
    ) -> Result<(Self, Option<Driver>), BoxError> {
        let connectors = spec.connectors()?;
        let mut driver = None;
        let shared = match known.filter(|known| known.spec == spec) {
            Some(known) => known.shared.clone(),
            None => {
                let label = label.to_owned();
                let set = Upstreams::builder()
                    .balance(spec.balance.into())
                    .attempt_timeout(ATTEMPT)
                    .timeout(TIMEOUT)
                    .on_change(move |change| log(&label, change))
                    .build(upstreams(to));
                let shared = Arc::new(Shared {
                    set,
                    connectors: Mutex::new(connectors.clone()),
                    proxy_out: spec.proxy_out,
                });
                driver = checks(&shared, &spec)?;
                shared
            }
        };
        let pool = Pool {
            shared,
            spec,
            to: to.to_vec(),
            connectors,
        };
        Ok((pool, driver))
    }

    /// Puts the configuration into effect.
    pub fn apply(&self) {
        *self.shared.connectors() = self.connectors.clone();
        self.shared.set.set(upstreams(&self.to));
    }
}

fn upstreams(to: &[WeightedTarget]) -> Vec<Upstream<Target>> {
    let upstreams = to.iter().map(|to| {
        let name = to.target.to_string();
        Upstream::new(name, to.target.clone()).weight(to.weight)
    });
    upstreams.collect()
}

/// Returns the driver of the checks, which uses the connectors that are in effect.
fn checks(shared: &Arc<Shared>, spec: &Spec) -> Result<Option<Driver>, BoxError> {
    let Some(check) = spec.check() else {
        return Ok(None);
    };
    let preface = spec.check_preface()?;
    // The driver ends with the set, so it must not keep it.
    let connectors = Arc::downgrade(shared);
    let connect = service_fn(move |target: Target| {
        let shared = connectors.upgrade();
        let preface = preface.clone();
        async move {
            let shared = shared.ok_or("the upstreams are no longer configured")?;
            let connector = shared.connectors().checks.clone();
            Ok::<_, BoxError>(connect(connector, &target, preface).await?)
        }
    });
    Ok(Some(shared.set.check(check, connect)))
}

impl Shared {
    fn connectors(&self) -> MutexGuard<'_, Connectors> {
        self.connectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection until both sides have closed it.
    pub async fn serve(self: Arc<Self>, conn: Connection) -> Result<(), BoxError> {
        let header = match self.proxy_out {
            Some(version) => header::encode(&conn, version)?,
            None => Vec::new(),
        };
        let connector = self.connectors().clients.clone();
        let connect = |target: Target| {
            let (connector, header) = (connector.clone(), header.clone());
            async move {
                let connected = connect(connector, &target, header).await;
                connected.map_err(blame)
            }
        };
        let connected = self.set.connect(Key::client(&conn), connect).await;
        let connected = connected.map_err(|error| {
            upstream::not_reached(conn.id(), &error);
            error
        })?;
        let (handle, draining) = (conn.handle(), conn.draining());
        let (stream, guard) = (connected.stream, connected.guard);
        let before = handle.bytes_written();
        let relayed = Relay::new().run_until(conn, stream, draining).await;
        if let Err(RelayError::Upstream(error)) = &relayed {
            if handle.bytes_written() == before {
                guard.failed(format_args!("it answered nothing: {error}"));
            }
        }
        relayed?;
        Ok(())
    }
}

async fn connect(
    mut connector: Connect,
    target: &Target,
    preface: Vec<u8>,
) -> Result<UpstreamIo, ConnectError> {
    let request = ConnectRequest::new(target.to_connect()).preface(preface);
    connector.call(request).await
}

/// Returns the error, marked if no upstream could have been reached.
fn blame(error: ConnectError) -> BoxError {
    let mut errors = error.attempts().iter().map(FailedAttempt::error);
    match errors.any(Blameless::is_local) {
        true => Blameless::new(error).into(),
        false => error.into(),
    }
}

fn log(listener: &str, change: &StateChange) {
    let StateChange { name, from, to, .. } = change;
    let error = change.last_error.as_deref().unwrap_or_default();
    match to {
        UpstreamState::Ejected | UpstreamState::Down => {
            tracing::warn!(listener, upstream = %name, %from, %to, error, "upstream left out");
        }
        _ => tracing::info!(listener, upstream = %name, %from, %to, "upstream changed"),
    }
}
