//! The upstreams of a listener or a route, if they are more than a single address: several, with
//! TLS, or with checks.

use crate::{
    client_reset::client_reset,
    header,
    options::ProxyOut,
    overlap::lookup,
    pool_spec::{ATTEMPT, Connectors, List, Spec},
    upstream,
    values::{Count, Target, WeightedTarget},
};
use reagent::{BoxError, Connection};
use reagent_layers::{
    connect::{Connect, ConnectError, ConnectRequest, FailedAttempt, UpstreamIo},
    relay::{Relay, RelayError},
    upstream::{Blameless, Driver, Key, StateChange, Upstream, UpstreamState, Upstreams},
};
use std::{
    io::{self, ErrorKind::ConnectionReset},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;
use tower::{Service, service_fn};

/// The time limit for all attempts to reach an upstream.
const TIMEOUT: Duration = Duration::from_secs(9);

/// The number of addresses of a name that are used.
const MOST_ADDRESSES: usize = 64;

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
    list: List,
    connectors: Connectors,
    /// What resolves the names, if each of their addresses is an upstream.
    resolving: JoinSet<()>,
}

impl Pool {
    /// Makes a pool, with the state of the one that was there if it can be kept. Returns the driver
    /// of one that is new.
    pub fn new(
        label: &str,
        spec: Spec,
        list: List,
        known: Option<&Pool>,
    ) -> Result<(Self, Option<Driver>), BoxError> {
        let connectors = spec.connectors()?;
        let mut driver = None;
        let shared = match known.filter(|known| known.spec == spec) {
            Some(known) => known.shared.clone(),
            None => {
                let (label, listener) = (label.to_owned(), label.to_owned());
                let set = Upstreams::builder()
                    .balance(spec.balance.into())
                    .attempt_timeout(ATTEMPT)
                    .timeout(TIMEOUT)
                    .on_change(move |change| log(&label, change))
                    .on_panic(move |error| {
                        tracing::error!(listener, error, "a task of the upstreams panicked");
                    })
                    .build(upstreams(&list.to, list.max));
                // What was drained by hand stays so, however else the set changes.
                for stats in known.iter().flat_map(|known| known.shared.set.stats()) {
                    if stats.state == UpstreamState::Drained {
                        set.drain(&stats.name);
                    }
                }
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
            list,
            connectors,
            resolving: JoinSet::new(),
        };
        Ok((pool, driver))
    }

    /// Puts the configuration into effect.
    pub fn apply(&mut self) {
        *self.shared.connectors() = self.connectors.clone();
        let (set, List { to, max }) = (&self.shared.set, self.list.clone());
        match self.spec.each {
            Some(each) => {
                let driver = set.follow(each, move || resolve(to.clone(), max));
                self.resolving.spawn(driver);
            }
            None => set.set(upstreams(&to, max)),
        }
    }
}

/// Returns the addresses of all names as upstreams, or `None` if a name does not resolve.
async fn resolve(to: Vec<WeightedTarget>, max: Option<Count>) -> Option<Vec<Upstream<Target>>> {
    let mut all = Vec::new();
    for WeightedTarget { target, weight } in to {
        let Target::Name(name) = &target else {
            all.push(WeightedTarget { target, weight });
            continue;
        };
        match lookup(name).await {
            Ok(addrs) => all.extend(addrs.into_iter().take(MOST_ADDRESSES).map(|addr| {
                let target = Target::Tcp(addr);
                WeightedTarget { target, weight }
            })),
            Err(error) => {
                tracing::warn!(%error, "the upstreams stay as they are");
                return None;
            }
        }
    }
    Some(upstreams(&all, max))
}

fn upstreams(to: &[WeightedTarget], max: Option<Count>) -> Vec<Upstream<Target>> {
    let max = max.map_or(usize::MAX, Count::as_usize);
    let upstreams = to.iter().map(|to| {
        let name = to.target.to_string();
        let upstream = Upstream::new(name, to.target.clone());
        upstream.weight(to.weight).max_connections(max)
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
        let (handle, draining) = (conn.handle(), conn.draining());
        let connected = tokio::select! {
            biased;
            connected = self.set.connect(Key::client(&conn), connect) => connected,
            () = client_reset(&handle) => return Err(io::Error::from(ConnectionReset).into()),
        };
        let connected = connected.inspect_err(|error| upstream::not_reached(handle.id(), error))?;
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
