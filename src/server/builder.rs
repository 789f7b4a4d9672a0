//! The builder of a server.

#[cfg(unix)]
use super::Handover;
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

/// A builder for servers: addresses, limits, options, and the layers around the handler.
///
/// Nothing is opened before [`start`](Self::start) or [`start_make`](Self::start_make) is called.
///
/// Clients are accepted by *acceptors*: tasks that each drive the *stack*, which is the handler
/// inside its layers. An acceptor takes a client from the queue only when there is room under the
/// limit and the stack is ready. There is one acceptor per address unless
/// [`acceptors`](Self::acceptors) or [`per_core`](Self::per_core) says otherwise.
///
/// # Example
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

/// The layers of a [boxed](Server::boxed) server whose service is of type `S`.
pub type BoxedLayers<S> = Stack<BoxCloneServiceLayer<S, Connection, (), BoxError>, Identity>;

impl Server {
    /// Creates a server that listens on `addrs`: one [`Bind`], or an array, slice or vector of
    /// them.
    ///
    /// An address is often written as text:
    ///
    /// | text | listens on |
    /// |---|---|
    /// | `"127.0.0.1:80"`, `"[::1]:80"` | that address; for port 0 the system chooses a free port |
    /// | `"example.com:80"` | every address that the name resolves to and this machine has, all on the same port |
    /// | `"*:80"`, `":80"` | all interfaces: `0.0.0.0:80` and `[::]:80`, with one listener each |
    /// | `"tcp://HOST:PORT"` | the same as `HOST:PORT` |
    /// | `"unix:/path"` | a Unix socket; a socket left behind by a dead server is replaced |
    /// | `"unix:@name"` | a name in Linux's abstract namespace |
    /// | `"systemd:NAME"` | all sockets of that name that the service manager passed on; without a name, the only one |
    ///
    /// The addresses are parsed and bound when the server starts: either all of them or none.
    pub fn bind(addrs: impl IntoBinds) -> Self {
        Server {
            config: Config::new(addrs.into_binds()),
            layers: ServiceBuilder::new(),
            spawn: TokioSpawn,
        }
    }

    /// Creates a server with one listener, or with anything else that converts into a [`Bind`].
    pub fn new(listener: impl Into<Bind>) -> Self {
        Self::bind(listener)
    }
}

impl<L, X> Server<L, X> {
    /// Adds addresses to listen on, in any form that [`bind`](Server::bind) accepts.
    pub fn listen(mut self, binds: impl IntoBinds) -> Self {
        self.config.binds.extend(binds.into_binds());
        self
    }

    /// Adds a layer around the handler, inside the layers added so far.
    ///
    /// As in [`ServiceBuilder`], the first layer is the outermost: it receives a connection first.
    ///
    /// For a layer that depends on the configuration, use `tower::util::option_layer`, which takes
    /// an `Option` of a layer.
    pub fn layer<T>(self, layer: T) -> Server<Stack<T, L>, X> {
        Server {
            config: self.config,
            layers: self.layers.layer(layer),
            spawn: self.spawn,
        }
    }

    /// Erases the type of the layers, which otherwise grows with each of them.
    ///
    /// Use it to return a server from a function or to keep it in a struct. It costs one allocation
    /// per connection.
    ///
    /// `S` is the type of the service that the server will be [started](Self::start) with.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{BoxedLayers, CloneService, Connection, Server, handle};
    /// use std::time::Duration;
    /// use tower::{timeout::TimeoutLayer, util::option_layer};
    ///
    /// /// The settings of all servers of this program, whatever they serve.
    /// fn configured<S>(addr: &str, limit: Option<Duration>) -> Server<BoxedLayers<S>>
    /// where
    ///     S: CloneService<Future: Send, Error = reagent::BoxError> + Sync,
    /// {
    ///     Server::bind(addr)
    ///         .max_connections(1000)
    ///         .layer(option_layer(limit.map(TimeoutLayer::new)))
    ///         .boxed()
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let server = configured("127.0.0.1:0", Some(Duration::from_secs(60)))
    ///     .start(handle(async |_: Connection| std::io::Result::Ok(())))
    ///     .await?;
    /// # server.drain(Duration::from_secs(1)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn boxed<S>(self) -> Server<BoxedLayers<S>, X>
    where
        L: Layer<S> + Send + Sync + 'static,
        L::Service: ConnectionService + Clone,
        <L::Service as Service<Connection>>::Future: Send,
    {
        let unified = ServiceBuilder::new().map_response(drop).map_err(Into::into);
        let layers =
            BoxCloneServiceLayer::new(unified.layer(self.layers.into_inner()).into_inner());
        Server {
            config: self.config,
            layers: ServiceBuilder::new().layer(layers),
            spawn: self.spawn,
        }
    }

    /// Runs the futures of connections with `spawn` instead of on Tokio's runtime.
    pub fn spawn_with<T: Spawn>(self, spawn: T) -> Server<L, T> {
        Server {
            config: self.config,
            layers: self.layers,
            spawn,
        }
    }

    /// Limits the number of connections that are open at once, over all addresses and acceptors.
    ///
    /// Clients above the limit wait in the kernel's queue and are accepted in order. The default is
    /// no limit. [`ServerHandle::set_max_connections`] changes the limit of a running server.
    ///
    /// [`ServerHandle::set_max_connections`]: crate::ServerHandle::set_max_connections
    pub fn max_connections(self, max: usize) -> Self {
        self.limit(Limit::new(max))
    }

    /// Replaces the limit on open connections by `limit`, which other servers may share.
    ///
    /// This and [`max_connections`](Self::max_connections) set the same limit: the later call wins.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.config.limit = limit;
        self
    }

    /// Sets the number of acceptors per address; 0 starts the server paused.
    ///
    /// The default is 1, or one per core with [`per_core`](Self::per_core). The maximum is 1,024.
    ///
    /// One acceptor accepts clients as fast as the runtime can serve them. More of them help if the
    /// service is slow to become ready: the acceptors that share a socket take turns, and while one
    /// waits for its service the next one accepts. With [`SocketOptions::reuse_port`], each
    /// acceptor has a queue to itself.
    ///
    /// The `call` of the service runs in the acceptor. If it blocks, all acceptors that share the
    /// socket are blocked.
    pub fn acceptors(mut self, count: usize) -> Self {
        self.config.acceptors = Some(count);
        self
    }

    /// Runs each acceptor and its connections on a thread with its own runtime and its own socket
    /// (`SO_REUSEPORT`).
    ///
    /// Connections never move between cores, so an idle core cannot take over the work of a busy
    /// one. There is a thread for each core of the machine, or as many as
    /// [`acceptors`](Self::acceptors) says.
    pub fn per_core(mut self) -> Self {
        self.config.per_core.get_or_insert_with(|| {
            let runtime = |_| Ok(tokio::runtime::Builder::new_current_thread());
            Arc::new(runtime)
        });
        self.config.options.reuse_port = true;
        self
    }

    /// Does the same as [`per_core`](Self::per_core), with runtimes that `make` configures.
    ///
    /// `make` is called once for each core, with the number of the core, on the thread of that
    /// core; it may pin or name the thread. I/O and time are enabled on the builder that it
    /// returns. If `make` fails, the server does not start.
    ///
    /// ```
    /// use reagent::Server;
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

    /// Calls `hook` for each accepted client before anything else sees it.
    ///
    /// The hook can set socket options that depend on the client, or turn the client away: if it
    /// returns an error, the client is closed and never becomes a connection, and
    /// [`Observer::accept_failed`] reports the error.
    ///
    /// The hook runs in the acceptor and delays the next client, so it must not block.
    ///
    /// ```
    /// use reagent::Server;
    ///
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

    /// Changes the options of the sockets that this server opens or is given.
    ///
    /// ```
    /// use reagent::{Keepalive, Server};
    /// use std::time::Duration;
    ///
    /// let server = Server::bind("127.0.0.1:0").options(|options| {
    ///     options.backlog = 256;
    ///     options.keepalive = Some(Keepalive::after(Duration::from_secs(60)));
    /// });
    /// ```
    pub fn options(mut self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        change(&mut self.config.options);
        self
    }

    /// Sets how long a client may take in total to open its connection.
    ///
    /// This covers every upgrade, such as a PROXY header or a TLS handshake, and the wait for the
    /// first request if a layer knows what a request is. The default is 30 s, the time that hyper
    /// gives a client to send its first request head. With `None`, only the limits of the
    /// individual steps apply.
    ///
    /// Without this limit, a client that sends one byte at a time could use up the limits of all
    /// steps one after the other. Only the time during which a step with a limit waits for the
    /// client is counted. A step whose own limit is longer raises the total to that limit. Authors
    /// of layers get the remaining time from [`Connection::opening_left`].
    pub fn opening_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.opening_timeout = limit.into();
        self
    }

    /// Adds a value that all connections share; [`Connection::state`] finds it by its type.
    ///
    /// A second value of the same type replaces the first.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.config.state.insert(Arc::new(state));
        self
    }

    /// Takes over from the server that is running with the same settings, and later hands over to
    /// the next one: see [`Handover`].
    ///
    /// A path is enough: `.handover("/run/app/handover.sock")`.
    ///
    /// # Errors
    ///
    /// [`start`](Self::start) fails with [`Error::Handover`] if the server that is running goes on
    /// instead, and with [`Error::Bind`] if the path cannot be listened on.
    ///
    /// # Cancel safety
    ///
    /// A start that is dropped in the moment in which it takes over may leave nobody to accept.
    ///
    /// [`Error::Bind`]: crate::Error::Bind
    /// [`Error::Handover`]: crate::Error::Handover
    #[cfg(unix)]
    pub fn handover(mut self, handover: impl Into<Handover>) -> Self {
        self.config.handover = Some(handover.into());
        self
    }

    /// Adds an observer of server events; [`observer_fn`](crate::observer_fn) makes one of a
    /// closure. Observers are called in the order in which they were added.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.config.observers.push(Arc::new(observer));
        self
    }

    /// Binds all addresses and starts to serve. Each acceptor drives a clone of `service`, wrapped
    /// in the layers.
    ///
    /// The layers are applied once, and the result is cloned. State inside a layer is therefore
    /// shared by all acceptors: a `tower::limit::ConcurrencyLimit`, for example, limits the whole
    /// server. If the stack is not `Clone`, use [`start_make`](Self::start_make).
    ///
    /// It must be called on a Tokio runtime, which then runs the server.
    ///
    /// # Errors
    ///
    /// - [`Error::NoListener`] if there is nothing to listen on.
    /// - [`Error::Address`] if an address is invalid or listed twice, or the
    ///   [limit](Bind::limit) of a listener is not within that of the server.
    /// - [`Error::Bind`] if the system refuses to listen on an address or to set a socket option.
    /// - [`Error::Runtime`] if the runtime has no I/O or time driver, or if a runtime of
    ///   [`per_core`](Self::per_core) cannot be started.
    /// - [`Error::Make`] if an acceptor cannot get its service, for example because its `Clone`
    ///   panics.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, everything that was opened is closed again.
    ///
    /// [`Error::NoListener`]: crate::Error::NoListener
    /// [`Error::Address`]: crate::Error::Address
    /// [`Error::Bind`]: crate::Error::Bind
    /// [`Error::Runtime`]: crate::Error::Runtime
    /// [`Error::Make`]: crate::Error::Make
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

    /// Binds all addresses and starts to serve. Each acceptor drives a service that `make` makes
    /// for it, wrapped in its own layers.
    ///
    /// State inside a layer is therefore shared within one acceptor only: a
    /// `tower::limit::RateLimit`, for example, limits each acceptor. A service that fails or panics
    /// is replaced by a new one from `make`, and so is one that is ready for a client which another
    /// acceptor accepted. If `make` fails while the server runs, it is called again after a delay.
    ///
    /// `make` is a service that takes an [`Acceptor`] and returns a service of connections. If all
    /// acceptors can have clones of one service, `tower::make::Shared` is such a service.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{Acceptor, BoxError, Connection, Server, handle};
    /// use std::time::Duration;
    /// use tower::{limit::RateLimitLayer, service_fn};
    ///
    /// async fn serve(conn: Connection) -> std::io::Result<()> {
    ///     drop(conn);
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// // A `RateLimit` is not `Clone`, so `start` does not accept it.
    /// let server = Server::bind("127.0.0.1:0")
    ///     .layer(RateLimitLayer::new(100, Duration::from_secs(1)))
    ///     .start_make(service_fn(async |_: Acceptor| Ok::<_, BoxError>(handle(serve))))
    ///     .await?;
    /// # server.drain(Duration::from_secs(1)).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`start`](Self::start), and [`Error::Make`] with the error of `make`
    /// if a service cannot be made.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, everything that was opened is closed again.
    ///
    /// [`Error::Make`]: crate::Error::Make
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
