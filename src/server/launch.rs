//! Starting a server from its configuration.

#[cfg(unix)]
use super::handover::Heir;
use super::{ServerHandle, config::Config, end::End, per_core::Cores, supervise::Supervisor};
use crate::{
    acceptor::{Exhaustion, Setup, Supply},
    connection::Registry,
    error::Error,
    listener::{self, Listener, Nothing},
    panic::{catch, discard},
    pool::{Pool, Stage},
    service::{ConnectionService, Spawn},
};
use std::{
    io,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};
use tokio::sync::mpsc;

/// Binds everything, makes every acceptor, and begins to accept once all of that has succeeded. If
/// the future is dropped before it is done, it leaves nothing behind.
pub(super) async fn launch<S: ConnectionService, X: Spawn>(
    config: Config,
    spawn: X,
    supply: Supply<S>,
) -> Result<ServerHandle, Error> {
    if config.binds.is_empty() {
        return Err(Error::NoListener);
    }
    listener::check_limits(&config.binds, &config.limit)?;
    check_time()?;
    let cores = config.cores();
    let options = Arc::new(config.options);
    let mut nothing = Nothing::default();
    #[cfg(unix)]
    let mut heir = match config.handover {
        Some(handover) => Some(Heir::new(handover).await?),
        None => None,
    };
    #[cfg(unix)]
    let inheritance = Heir::inheritance(heir.as_mut(), &mut nothing);
    #[cfg(not(unix))]
    let inheritance = &mut nothing;
    let bound = listener::open(config.binds, &options, &[], inheritance).await?;
    if cores == 0 {
        let opened = bound.iter().flat_map(|bound| &bound.listeners);
        let mut queues = opened.flat_map(|opened| &opened.queues);
        queues.try_for_each(|queue| check_io(&**queue))?;
    }
    let registry = Registry::new(
        config.limit,
        config.state,
        config.observers,
        config.opening_timeout,
    );
    let registry = Arc::new(registry);
    let acceptors = config.acceptors.unwrap_or(cores.max(1));
    let exhaustion = Arc::new(Exhaustion::new(&registry));
    let (sender, requests) = mpsc::unbounded_channel();
    let pool = Arc::new(Pool::new(registry, options, acceptors, sender));
    let groups = pool.make_groups(bound);
    groups.iter().for_each(|group| pool.add(group));
    let first = groups.first().map(|group| group.addr().clone());
    let first = first.ok_or(Error::NoListener)?;
    let abandoned = Abandoned(Some(pool.clone()));
    let cores = match &config.per_core {
        Some(make) => Cores::start(cores, make, &pool).await?,
        None => Cores::default(),
    };
    let setup = Setup {
        pool: pool.clone(),
        exhaustion,
        supply,
        on_accept: config.on_accept,
        spawn,
    };
    let mut supervisor = Supervisor::new(setup, cores, requests);
    supervisor.start().await?;
    let succession = None;
    #[cfg(unix)]
    let succession = match heir {
        Some(heir) => Some(heir.take_over(&pool).await?),
        None => succession,
    };
    // Whatever ends the supervisor, nothing waits for ever and no socket stays open.
    let end = End::new(&pool);
    #[expect(
        clippy::disallowed_methods,
        reason = "the task ends with the server, which its handles report"
    )]
    drop(tokio::spawn(supervisor.run(end, succession)));
    abandoned.keep();
    Ok(ServerHandle::new(pool, first))
}

/// Checks that the runtime has a timer, which every server needs.
fn check_time() -> Result<(), Error> {
    let sleep = || drop(tokio::time::sleep(Duration::ZERO));
    catch(sleep)
        .map_err(|_| missing("no time driver; build it with `enable_time()` or `enable_all()`"))
}

/// Checks that the runtime can wait for clients of the listener.
fn check_io(listener: &dyn Listener) -> Result<(), Error> {
    let addr = listener.local_addr().to_string();
    let mut trial = listener
        .try_clone()
        .map_err(|error| Error::bind(&addr, error))?;
    let wait = || drop(trial.poll_ready(&mut Context::from_waker(Waker::noop())));
    let waited = catch(wait);
    discard(trial);
    waited.map_err(|_| missing("no I/O driver; build it with `enable_io()` or `enable_all()`"))
}

fn missing(what: &str) -> Error {
    let message = format!("the Tokio runtime has {what}");
    Error::Runtime(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// Stops everything that was started so far when a start fails or is cancelled.
struct Abandoned(Option<Arc<Pool>>);

impl Abandoned {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.close();
            pool.change(|control| control.stage = Stage::Stopped(Default::default(), None));
        }
    }
}
