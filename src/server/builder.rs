//! What a server is built of.

use super::{Starting, config::Config, launch::launch};
use crate::{
    BoxError,
    acceptor::Supply,
    connection::{Acceptor, Connection, Observer},
    limit::Limit,
    listener::{Accepted, Bind, IntoBinds, SocketOptions},
    panic::discard,
    service::{CloneService, ConnectionService, Spawn, TokioSpawn},
    sync::Mutex,
};
use std::{fmt, future::poll_fn, io, mem, sync::Arc, time::Duration};
use tower::{MakeService, ServiceBuilder, util::BoxCloneServiceLayer};
use tower_layer::{Identity, Layer, Stack};
use tower_service::Service;

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
#[must_use = "a server does nothing until it is started"]
pub struct Server<L = Identity, X = TokioSpawn> {
    config: Config,
    layers: ServiceBuilder<L>,
    spawn: X,
}

/// The layers of a [boxed](Server::boxed) server whose service is an `S`.
pub type BoxedLayers<L, S> = Stack<
    BoxCloneServiceLayer<
        S,
        Connection,
        <<L as Layer<S>>::Service as Service<Connection>>::Response,
        <<L as Layer<S>>::Service as Service<Connection>>::Error,
    >,
    Identity,
>;

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
            config: Config::new(addrs.into_binds()),
            layers: ServiceBuilder::new(),
            spawn: TokioSpawn,
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
        self.config.binds.extend(binds.into_binds());
        self
    }

    /// Adds a layer around the handler, inside the layers that were added before: the first is the
    /// outermost and sees a connection first, as in [`ServiceBuilder`].
    pub fn layer<T>(self, layer: T) -> Server<Stack<T, L>, X> {
        Server {
            config: self.config,
            layers: self.layers.layer(layer),
            spawn: self.spawn,
        }
    }

    /// Erases the type of the layers, which otherwise grows with each: for a server that is kept in a
    /// struct or returned from a function. It costs a box a connection.
    ///
    /// `S` is the service that it will be [started](Self::start) with, and is found by itself.
    pub fn boxed<S>(self) -> Server<BoxedLayers<L, S>, X>
    where
        L: Layer<S> + Send + Sync + 'static,
        L::Service: ConnectionService + Clone,
        <L::Service as Service<Connection>>::Future: Send,
    {
        let layers = BoxCloneServiceLayer::new(self.layers.into_inner());
        Server {
            config: self.config,
            layers: ServiceBuilder::new().layer(layers),
            spawn: self.spawn,
        }
    }

    /// Runs the futures of connections by `spawn` instead of spawning them on Tokio's runtime.
    pub fn spawn_with<T: Spawn>(self, spawn: T) -> Server<L, T> {
        Server {
            config: self.config,
            layers: self.layers,
            spawn,
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
        self.config.limit = limit;
        self
    }

    /// How many acceptors each address has, 1,024 at most; 0 starts the server paused. Default 1, or with
    /// [`per_core`](Self::per_core) one for each core.
    ///
    /// One acceptor takes clients as fast as the runtime can serve them. Several that share a socket take
    /// turns: one waits there and is woken, and the next gets its turn when the service of the first is
    /// not ready. They are for stacks whose readiness is slow, or, with [`SocketOptions::reuse_port`],
    /// for a queue each.
    ///
    /// A service's `call` runs in the acceptor, and blocks all that share its socket if it blocks.
    pub fn acceptors(mut self, count: usize) -> Self {
        self.config.acceptors = Some(count);
        self
    }

    /// Runs each acceptor and its connections on a thread with a runtime of its own, and gives it a socket
    /// of its own (`SO_REUSEPORT`): no connection ever moves between cores, and none is helped by an
    /// idle one.
    pub fn per_core(mut self) -> Self {
        self.config.per_core.get_or_insert_with(|| {
            let runtime = |_| Ok(tokio::runtime::Builder::new_current_thread());
            Arc::new(runtime)
        });
        self.config.options.reuse_port = true;
        self
    }

    /// Like [`per_core`](Self::per_core), with runtimes that `make` builds: it is called once for each core,
    /// with its number, on the core's thread, which it may pin to a processor or name. Drivers for I/O
    /// and time are enabled whatever it returns. An error of `make` is one of the start.
    ///
    /// ```
    /// # use reagent::Server;
    /// use rustix::thread::{CpuSet, sched_setaffinity};
    /// use tokio::runtime::Builder;
    ///
    /// let server = Server::bind("127.0.0.1:0").per_core_with(|core| {
    ///     let mut cpus = CpuSet::new();
    ///     cpus.set(core);
    ///     sched_setaffinity(None, &cpus)?;
    ///     let mut runtime = Builder::new_current_thread();
    ///     runtime.event_interval(31);
    ///     Ok(runtime)
    /// });
    /// # let _ = server;
    /// ```
    pub fn per_core_with(
        self,
        make: impl Fn(usize) -> io::Result<tokio::runtime::Builder> + Send + Sync + 'static,
    ) -> Self {
        let mut server = self.per_core();
        server.config.per_core = Some(Arc::new(make));
        server
    }

    /// Calls `hook` for each client that was accepted, before anything else sees it: to set socket
    /// options that depend on the client, or to turn it away. An error closes the client, which never
    /// becomes a connection; [`Observer::accept_failed`] reports it.
    ///
    /// The hook runs in the acceptor and holds up the next client, so it must not block.
    ///
    /// ```
    /// # use reagent::Server;
    /// let server = Server::bind("127.0.0.1:0").on_accept(|client| {
    ///     if let Some(tcp) = client.transport.tcp() {
    ///         tcp.set_ttl(64)?;
    ///     }
    ///     Ok(())
    /// });
    /// # let _ = server;
    /// ```
    pub fn on_accept(
        mut self,
        hook: impl Fn(&Accepted) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.config.on_accept = Some(Arc::new(hook));
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
        change(&mut self.config.options);
        self
    }

    /// Sets how long a client may take in all to open its connection: for every upgrade (a PROXY header,
    /// a handshake), and until its first request is there where a layer knows what a request is.
    /// Default 30 s; `None` leaves each step its own limit alone.
    ///
    /// It keeps a client from using up the limits of all steps one after the other with a byte at a
    /// time. Only time counts in which a step with a limit waited for the client. A step with a longer
    /// limit of its own raises it to that. Writers of layers find it at
    /// [`Connection::opening_left`].
    pub fn opening_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.opening_timeout = limit.into();
        self
    }

    /// Something for all connections to share; [`Connection::state`] finds it by its type.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.config.state.insert(Arc::new(state));
        self
    }

    /// Tells `observer` what happens, after those that were given before.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.config.observers.push(Arc::new(observer));
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
    pub fn start<S>(self, service: S) -> Starting
    where
        // The compiler shows such a line to those whose service does not fit.
        L: Layer<S>,                   // an `Upgrade` becomes a layer by `UpgradeLayer::new`
        L::Service: ConnectionService, // a function becomes one, over every stream, by `handle`
        L::Service: CloneService,      // a service that is not `Clone` goes by `start_make`
        X: Spawn,
    {
        let service = Mutex::new(self.layers.service(service));
        let supply = Supply::Cloned {
            fresh: Arc::new(move || service.lock().clone()),
            release: |service| {
                let clone = service.clone();
                discard(mem::replace(service, clone));
            },
        };
        Starting::new(launch(self.config, self.spawn, supply))
    }

    /// Binds, and starts to serve: every acceptor drives a service of its own that `make` makes for it,
    /// in layers of its own. When that fails, `make` is called again, after a while.
    ///
    /// So what the layers share they share within one acceptor: a
    /// `tower::limit::RateLimit` is one for each. A service that reserved something for a client
    /// that another acceptor took, or that panicked, is replaced by one made anew.
    ///
    /// The start fails if a service cannot be made. For the rest see [`start`](Self::start).
    pub fn start_make<M, S>(self, make: M) -> Starting
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
        let supply = Supply::Made(Arc::new(move |acceptor| {
            let (mut make, layers) = made.lock().clone();
            Box::pin(async move {
                poll_fn(|cx| make.poll_ready(cx))
                    .await
                    .map_err(Into::into)?;
                let service = make.make_service(acceptor).await.map_err(Into::into)?;
                Ok(layers.service(service))
            })
        }));
        Starting::new(launch(self.config, self.spawn, supply))
    }
}

impl<L, X> fmt::Debug for Server<L, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("binds", &self.config.binds)
            .field("options", &self.config.options)
            .field("limit", &self.config.limit)
            .field("acceptors", &self.config.acceptors)
            .finish_non_exhaustive()
    }
}
