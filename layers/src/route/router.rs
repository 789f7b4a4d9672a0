//! The router and its settings.

use super::{RouteFuture, target::Target};
use crate::Refusal;
use reagent::{BoxError, BoxIo, Connection, ConnectionService, IoStream};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

/// The same as the default time limit of an upgrade.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A service that hands each connection to the first route whose condition holds.
///
/// `Io` is the stream type of the connections, inferred from the layers around the router. A router
/// is cheap to clone.
pub struct Router<Io = BoxIo> {
    routes: Arc<Routes<Io>>,
}

pub(super) struct Routes<Io> {
    routes: Vec<Route<Io>>,
    fallback: Option<Arc<dyn Target<Io>>>,
    pub(super) refusal: Refusal,
    pub(super) timeout: Option<Duration>,
}

struct Route<Io> {
    condition: Arc<Condition<Io>>,
    target: Arc<dyn Target<Io>>,
}

type Condition<Io> = dyn Fn(&Connection<Io>) -> bool + Send + Sync;

impl<Io: IoStream> Router<Io> {
    /// Creates a router without routes, which refuses every connection.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Routes<Io>)) -> Self {
        change(Arc::make_mut(&mut self.routes));
        self
    }

    /// Adds a route: connections for which `condition` holds, and no earlier condition does, go to
    /// `service`.
    ///
    /// The condition runs in the future of each connection and must not block. Each connection is
    /// served by a clone of `service`, so a limit that its clones share applies to the whole route.
    ///
    /// The service must be `Sync`. tower's `BoxCloneService` is not; use `BoxCloneSyncService`
    /// instead.
    ///
    /// # Example
    ///
    /// A route with a custom condition and its own layer:
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::route::Router;
    /// use std::io;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer};
    ///
    /// async fn admin(mut conn: Connection) -> io::Result<()> {
    ///     conn.write_all(b"admin").await
    /// }
    ///
    /// async fn public(mut conn: Connection) -> io::Result<()> {
    ///     conn.write_all(b"public").await
    /// }
    ///
    /// fn is_loopback(conn: &Connection) -> bool {
    ///     let addr = conn.peer_addr().socket_addr();
    ///     addr.is_some_and(|addr| addr.ip().is_loopback())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let one_at_a_time = ServiceBuilder::new()
    ///     .layer(GlobalConcurrencyLimitLayer::new(1))
    ///     .service(reagent::handle(admin));
    /// let router = Router::new()
    ///     .route(is_loopback, one_at_a_time)
    ///     .fallback(reagent::handle(public));
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener).start(router).await?;
    ///
    /// for (addr, expected) in [("127.0.0.1:5000", "admin"), ("192.0.2.1:5000", "public")] {
    ///     let addr: std::net::SocketAddr = addr.parse()?;
    ///     let mut client = clients.connect_from(addr).await?;
    ///     let mut answer = String::new();
    ///     client.read_to_string(&mut answer).await?;
    ///     assert_eq!(answer, expected);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn route<S>(
        self,
        condition: impl Fn(&Connection<Io>) -> bool + Send + Sync + 'static,
        service: S,
    ) -> Self
    where
        S: ConnectionService<Io> + Clone + Sync,
    {
        self.change(|routes| {
            routes.routes.push(Route {
                condition: Arc::new(condition),
                target: Arc::new(service),
            });
        })
    }

    /// Sets the service for connections that match no route. By default they are refused.
    pub fn fallback<S>(self, service: S) -> Self
    where
        S: ConnectionService<Io> + Clone + Sync,
    {
        self.change(|routes| routes.fallback = Some(Arc::new(service)))
    }

    /// Sets what a client that matches no route receives. The default is [`Refusal::Close`], since
    /// no other answer suits every protocol.
    pub fn refusal(self, refusal: Refusal) -> Self {
        self.change(|routes| routes.refusal = refusal)
    }

    /// Sets how long a connection waits for the service of its route to become ready, or `None` for
    /// no limit. The default is 10 s, the same as for an upgrade.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|routes| routes.timeout = limit.into())
    }
}

impl<Io> Routes<Io> {
    pub(super) fn choose(&self, conn: &Connection<Io>) -> Option<&dyn Target<Io>> {
        let mut routes = self.routes.iter();
        let route = routes.find(|route| (route.condition)(conn));
        let target = route.map(|route| &route.target);
        target.or(self.fallback.as_ref()).map(|target| &**target)
    }
}

impl<Io: IoStream> Service<Connection<Io>> for Router<Io> {
    type Response = ();
    type Error = BoxError;
    type Future = RouteFuture<Io>;

    /// Always returns ready. See *Readiness* in the [module documentation](super).
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        RouteFuture::new(self.routes.clone(), conn)
    }
}

impl<Io> Clone for Router<Io> {
    fn clone(&self) -> Self {
        Router {
            routes: self.routes.clone(),
        }
    }
}

impl<Io> Default for Router<Io> {
    fn default() -> Self {
        Router {
            routes: Arc::new(Routes {
                routes: Vec::new(),
                fallback: None,
                refusal: Refusal::default(),
                timeout: Some(DEFAULT_TIMEOUT),
            }),
        }
    }
}

impl<Io> fmt::Debug for Router<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("routes", &self.routes.routes.len())
            .field("fallback", &self.routes.fallback.is_some())
            .field("refusal", &self.routes.refusal)
            .field("timeout", &self.routes.timeout)
            .finish()
    }
}

impl<Io> Clone for Routes<Io> {
    fn clone(&self) -> Self {
        Routes {
            routes: self.routes.clone(),
            fallback: self.fallback.clone(),
            refusal: self.refusal.clone(),
            timeout: self.timeout,
        }
    }
}

impl<Io> Clone for Route<Io> {
    fn clone(&self) -> Self {
        Route {
            condition: self.condition.clone(),
            target: self.target.clone(),
        }
    }
}
