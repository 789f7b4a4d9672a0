//! A server: built, started, and run until it is drained.

mod handle;
mod per_core;
mod shared;
mod stats;
mod supervise;

pub use handle::ServerHandle;
pub(crate) use shared::Shared;
pub(crate) use stats::Counters;
pub use stats::{ListenerStatus, ServerStatus, Stats};

use crate::{
    Acceptor, Bind, BoxError, Connection, ConnectionService, Error, Extensions, IntoBinds, Limit,
    Observer, SocketOptions, Spawn, TokioSpawn,
    acceptor::Maker,
    listener::{self, Group},
    pool::Stage,
    sync::Mutex,
};
use per_core::Cores;
use std::{fmt, future::poll_fn, sync::Arc, time::Duration};
use supervise::Supervisor;
use tower::{MakeService, ServiceBuilder};
use tower_layer::{Identity, Layer, Stack};

/// A server to be: what it listens on, what limits it, and the layers around its handler.
///
/// ```
/// use reagent::{Connection, Server};
/// use std::time::Duration;
/// use tower::timeout::TimeoutLayer;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let server = Server::bind(["127.0.0.1:0", "[::1]:0"])
///     .max_connections(1_000)
///     .layer(TimeoutLayer::new(Duration::from_secs(300)))
///     .start(reagent::handle(|_: Connection| async { Ok::<_, std::io::Error>(()) }))
///     .await?;
/// assert_eq!(server.local_addrs().count(), 2);
/// server.drain(Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
pub struct Server<L = Identity, X = TokioSpawn> {
    binds: Vec<Bind>,
    options: SocketOptions,
    layers: ServiceBuilder<L>,
    spawn: X,
    limit: Limit,
    acceptors: Option<usize>,
    per_core: bool,
    state: Extensions,
    observers: Vec<Arc<dyn Observer>>,
}

impl Server {
    /// A server of these addresses, sockets or listeners: one [`Bind`], or an array, slice or vector of
    /// them. In text:
    ///
    /// | text | listens on |
    /// |---|---|
    /// | `"127.0.0.1:80"`, `"[::1]:80"` | that address; port 0 is one that is free |
    /// | `"example.com:80"` | every address that the name stands for and this machine has, all at one port |
    /// | `"*:80"`, `":80"` | all interfaces: `0.0.0.0:80` and `[::]:80`, a listener each |
    /// | `"tcp://HOST:PORT"` | the same as `HOST:PORT` |
    /// | `"unix:/path"` | a Unix socket; what a dead server left there is replaced |
    /// | `"unix:@name"` | a name in Linux' abstract namespace |
    /// | `"systemd:NAME"` | all sockets of that name that the service manager handed over; without a name, the only one |
    ///
    /// All are bound when the server starts, or none.
    pub fn bind(addrs: impl IntoBinds) -> Self {
        Server {
            binds: addrs.into_binds(),
            options: SocketOptions::default(),
            layers: ServiceBuilder::new(),
            spawn: TokioSpawn,
            limit: Limit::new(usize::MAX),
            acceptors: None,
            per_core: false,
            state: Extensions::default(),
            observers: Vec::new(),
        }
    }

    /// A server of one listener, or of whatever else makes a [`Bind`].
    pub fn new(listener: impl Into<Bind>) -> Self {
        Self::bind(listener)
    }
}

impl<L, X> Server<L, X> {
    /// Listens on this as well: on whatever [`bind`](Server::bind) takes.
    pub fn listen(mut self, binds: impl IntoBinds) -> Self {
        self.binds.extend(binds.into_binds());
        self
    }

    /// Adds a layer around the handler, inside the layers that were added before: the first is the
    /// outermost and sees a connection first, as in [`ServiceBuilder`].
    pub fn layer<T>(self, layer: T) -> Server<Stack<T, L>, X> {
        Server {
            layers: self.layers.layer(layer),
            binds: self.binds,
            options: self.options,
            spawn: self.spawn,
            limit: self.limit,
            acceptors: self.acceptors,
            per_core: self.per_core,
            state: self.state,
            observers: self.observers,
        }
    }

    /// Runs the futures of connections by `spawn` instead of spawning them on Tokio's runtime.
    pub fn spawn_with<T: Spawn>(self, spawn: T) -> Server<L, T> {
        Server {
            spawn,
            layers: self.layers,
            binds: self.binds,
            options: self.options,
            limit: self.limit,
            acceptors: self.acceptors,
            per_core: self.per_core,
            state: self.state,
            observers: self.observers,
        }
    }

    /// The most connections that may be open at once, over all addresses and acceptors. More clients wait
    /// in the kernel's queue, in their order. Default no limit;
    /// [`ServerHandle::set_max_connections`] changes it.
    pub fn max_connections(self, max: usize) -> Self {
        self.limit(Limit::new(max))
    }

    /// Counts connections by this limit, which other servers may share; in the place of
    /// [`max_connections`](Self::max_connections).
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = limit;
        self
    }

    /// How many acceptors each address has, 1,024 at most; 0 starts the server paused. Default 1, or with
    /// [`per_core`](Self::per_core) one for each core.
    ///
    /// One acceptor takes clients as fast as the runtime can serve them. Several that share a socket all
    /// wake up for each client; they are for stacks whose readiness is slow, or, with
    /// [`SocketOptions::reuse_port`], for a queue each.
    pub fn acceptors(mut self, count: usize) -> Self {
        self.acceptors = Some(count);
        self
    }

    /// Runs each acceptor and its connections on a thread with a runtime of its own, and gives it a socket
    /// of its own (`SO_REUSEPORT`): no connection ever moves between cores, and none is helped by an
    /// idle one.
    pub fn per_core(mut self) -> Self {
        self.per_core = true;
        self.options.reuse_port = true;
        self
    }

    /// Changes the options of the sockets that this server opens.
    ///
    /// ```
    /// # use reagent::{Keepalive, Server};
    /// # use std::time::Duration;
    /// let server = Server::bind("127.0.0.1:0").options(|options| {
    ///     options.backlog = 256;
    ///     options.keepalive = Some(Keepalive::after(Duration::from_secs(60)));
    /// });
    /// ```
    pub fn options(mut self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Something for all connections to share; [`Connection::state`] finds it by its type.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(Arc::new(state));
        self
    }

    /// Tells `observer` what happens, after those that were given before.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Binds, and starts to serve: every acceptor drives a clone of `service` in its layers.
    ///
    /// The layers are applied once and then cloned, so what they share they share between all acceptors:
    /// a `tower::limit::ConcurrencyLimit` is one for the server. A stack that is not
    /// `Clone` goes by [`start_make`](Self::start_make).
    ///
    /// It must be called on a Tokio runtime, which then runs the server. Cancel safe: nothing is left
    /// behind.
    pub async fn start<S>(self, service: S) -> Result<ServerHandle, Error>
    where
        L: Layer<S>,
        L::Service: ConnectionService + Clone,
        X: Spawn,
    {
        let service = Mutex::new(self.layers.service(service));
        let make: Maker<L::Service> = Arc::new(move |_| {
            let service = service.lock().clone();
            Box::pin(async move { Ok(service) })
        });
        let release: fn(&mut L::Service) = |service| *service = service.clone();
        launch(
            self.binds,
            self.options,
            self.spawn,
            make,
            release,
            Config {
                limit: self.limit,
                acceptors: self.acceptors,
                per_core: self.per_core,
                state: self.state,
                observers: self.observers,
            },
        )
        .await
    }

    /// Binds, and starts to serve: every acceptor drives a service of its own that `make` makes for it,
    /// in layers of its own. When that fails, `make` is called again, after a while.
    ///
    /// So what the layers share they share within one acceptor: a
    /// `tower::limit::RateLimit` is one for each. What a service has reserved while its
    /// acceptor found the queue empty stays reserved until the next client.
    ///
    /// The start fails if a service cannot be made. For the rest see [`start`](Self::start).
    pub async fn start_make<M, S>(self, make: M) -> Result<ServerHandle, Error>
    where
        M: MakeService<Acceptor, Connection, Service = S, MakeError: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + 'static,
        L: Layer<S> + Clone + Send + 'static,
        L::Service: ConnectionService,
        S: Send + 'static,
        X: Spawn,
    {
        let made = Mutex::new((make, self.layers));
        let make: Maker<L::Service> = Arc::new(move |acceptor| {
            let (mut make, layers) = made.lock().clone();
            Box::pin(async move {
                poll_fn(|cx| make.poll_ready(cx))
                    .await
                    .map_err(Into::into)?;
                let service = make.make_service(acceptor).await.map_err(Into::into)?;
                Ok(layers.service(service))
            })
        });
        launch(
            self.binds,
            self.options,
            self.spawn,
            make,
            |_| (),
            Config {
                limit: self.limit,
                acceptors: self.acceptors,
                per_core: self.per_core,
                state: self.state,
                observers: self.observers,
            },
        )
        .await
    }
}

/// What does not depend on the types of layers and handlers.
struct Config {
    limit: Limit,
    acceptors: Option<usize>,
    per_core: bool,
    state: Extensions,
    observers: Vec<Arc<dyn Observer>>,
}

async fn launch<S: ConnectionService, X: Spawn>(
    binds: Vec<Bind>,
    options: SocketOptions,
    spawn: X,
    make: Maker<S>,
    release: fn(&mut S),
    config: Config,
) -> Result<ServerHandle, Error> {
    if binds.is_empty() {
        return Err(Error::NoListener);
    }
    let options = Arc::new(options);
    let listeners = listener::open(binds, &options).await?;
    let groups = (0..).zip(listeners);
    let groups = groups.map(|(index, listener)| Group::new(index, listener));
    let groups = groups.collect();
    let cores = if config.per_core {
        // A server that starts paused does not know yet how many it will have.
        let asked = config.acceptors.filter(|count| *count > 0);
        asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
    } else {
        0
    };
    let acceptors = config.acceptors.unwrap_or(cores.max(1));
    let shared = Arc::new(Shared::new(
        config.limit,
        groups,
        acceptors,
        config.state,
        config.observers,
    ));
    let abandoned = Abandoned(Some(shared.clone()));
    let cores = Cores::start(cores, &shared).await?;
    let mut supervisor = Supervisor::new(shared.clone(), make, release, spawn, cores);
    supervisor.start().await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the server, whose handle tells of it"
    )]
    drop(tokio::spawn(supervisor.run()));
    abandoned.keep();
    Ok(ServerHandle::new(shared))
}

/// A start that failed or was cancelled: whatever runs already is told to stop.
struct Abandoned(Option<Arc<Shared>>);

impl Abandoned {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.groups.iter().for_each(Group::close);
            shared.control.send_modify(|control| {
                control.stage = Stage::Stopped(Ok(DrainReport::default()));
            });
        }
    }
}

impl<L, X> fmt::Debug for Server<L, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("binds", &self.binds)
            .field("options", &self.options)
            .field("limit", &self.limit)
            .field("acceptors", &self.acceptors)
            .finish_non_exhaustive()
    }
}

/// How a drain went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that were open or in the queue when it began and finished by themselves.
    pub finished: usize,
    /// Connections that were aborted at the deadline.
    pub aborted: usize,
    /// Connections that are open still: somebody outside their handler holds them and does not use them, so
    /// that nothing can end them; or the runtime was shut down before the drain was over.
    pub remaining: usize,
    /// How long it took.
    pub elapsed: Duration,
}
