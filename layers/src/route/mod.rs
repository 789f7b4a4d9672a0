//! Sends each connection to one of several services: by what it speaks, whom it asks for, where it came in, or
//! whatever else a function can tell.
//!
//! # When
//!
//! Several protocols, or several names, share an address and need different handling: plain clients beside TLS,
//! HTTP/2 beside HTTP/1, one backend for each server name. Where the streams of all connections go through the same
//! layers and the same handler, an `if` in the handler does it as well.
//!
//! A [`Router`] asks its routes in their order, and the first whose condition holds gets the connection. A condition
//! is any function of the connection; there are some ready:
//!
//! | by | condition | needs |
//! |---|---|---|
//! | what is spoken | [`protocol`] | a [`SniffLayer`](crate::sniff::SniffLayer) further out |
//! | the name a TLS client asks for | [`server_name`], exact or with a wildcard | the same |
//! | the protocols it offers (ALPN) | [`offers`] | the same |
//! | the protocol agreed on (ALPN) | [`negotiated`] | TLS further out |
//! | where it came in | [`local_addr`], [`local_port`] | |
//! | anything | `\|conn: &Connection<_>\| …` | |
//!
//! # Where in the stack
//!
//! It is where the stack ends: it stands in the place of the handler, and each route is a service of its own, which
//! may have layers around it. What all have in common belongs outside of the router, and a router may be the
//! service of a route.
//!
//! **Readiness.** A router is always ready. Only when a connection has chosen, it waits in its own future for a clone
//! of the service that it chose, for 10 seconds at most ([`timeout`](Router::timeout)), and others pass it. To
//! wait for all services beforehand, as `tower::steer` does, would let the busiest of them hold back the clients of
//! all others, and would let each client that has yet to say what it speaks occupy a place in every one of them. So
//! what limits one route by its readiness does not leave clients in the kernel's queue; `max_connections` does, and
//! a limit around the router.
//!
//! # Example
//!
//! Plain and TLS on one port:
//!
#![cfg_attr(feature = "tls", doc = "```")]
#![cfg_attr(not(feature = "tls"), doc = "```ignore")]
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::{
//!     route::{Router, protocol},
//!     sniff::{Protocol, SniffLayer},
//!     tls::TlsLayer,
//! };
//! use std::{io, sync::Arc};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio_rustls::{TlsConnector, rustls};
//! use tower_layer::Layer;
//!
//! async fn greet(mut conn: Connection) -> io::Result<()> {
//!     conn.read_u8().await?;
//!     let secure = conn.is_secure();
//!     conn.write_all(if secure { b"secret" } else { b"public" }).await?;
//!     conn.shutdown().await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let mut config = rustls::ServerConfig::builder().with_no_client_auth();
//! # let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
//! # let config = config.with_single_cert(vec![made.cert.der().clone()], key)?;
//! # let tls = TlsLayer::from_config(Arc::new(config));
//! // let tls = TlsLayer::from_pem_files("cert.pem", "key.pem")?;
//! let router = Router::new()
//!     .route(protocol(Protocol::Tls), tls.layer(reagent::handle(greet)))
//!     .fallback(reagent::handle(greet));
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener).layer(SniffLayer::new()).start(router).await?;
//!
//! let mut answer = String::new();
//! let mut plain = clients.connect().await?;
//! plain.write_all(b"hello").await?;
//! plain.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "public");
//!
//! # let mut roots = rustls::RootCertStore::empty();
//! # roots.add(made.cert.der().clone())?;
//! # let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
//! # let connector = TlsConnector::from(Arc::new(config));
//! let stream = clients.connect().await?;
//! let mut encrypted = connector.connect("localhost".try_into()?, stream).await?;
//! answer.clear();
//! encrypted.write_all(b"hello").await?;
//! encrypted.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "secret");
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! - [`Rejected`](reagent::Rejected) for `no route`: no condition holds, and there is no
//!   [`fallback`](Router::fallback). How the client is told is set by [`Router::refusal`].
//! - [`TimedOut`](reagent::TimedOut) for `route`: the service that was chosen was not ready in time.
//! - What the service that was chosen ends with.
//!
//! [`InvalidServerName`] is of what was given as a name and is none.

mod conditions;
mod future;
mod server_names;
mod target;

pub use conditions::{local_addr, local_port, negotiated, offers, protocol};
pub use future::RouteFuture;
pub use server_names::{InvalidServerName, server_name};

use crate::Refusal;
use reagent::{BoxError, BoxIo, Connection, ConnectionService, IoStream};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use target::Target;
use tower_service::Service;

/// As an upgrade's.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// A service that hands each connection to another: the first whose condition holds. Cheap to clone.
///
/// `Io` is the stream of the connections that it gets, which follows from the layers around it.
pub struct Router<Io = BoxIo> {
    routes: Arc<Routes<Io>>,
}

struct Routes<Io> {
    routes: Vec<Route<Io>>,
    fallback: Option<Arc<dyn Target<Io>>>,
    refusal: Refusal,
    timeout: Option<Duration>,
}

struct Route<Io> {
    condition: Arc<Condition<Io>>,
    target: Arc<dyn Target<Io>>,
}

type Condition<Io> = dyn Fn(&Connection<Io>) -> bool + Send + Sync;

impl<Io: IoStream> Router<Io> {
    /// A router that refuses everybody.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Routes<Io>)) -> Self {
        change(Arc::make_mut(&mut self.routes));
        self
    }

    /// Sends to `service` whoever `condition` holds for, and for whom none of those before did.
    ///
    /// The condition is asked for each connection, in its own future; it must not wait. Of the service each
    /// connection gets a clone, so a limit that clones share is one for the route. A service that is not
    /// `Sync`, such as tower's `BoxCloneService`, has to become so: `BoxCloneSyncService`.
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

    /// Sends to `service` whoever no condition holds for. Default nobody: they are refused.
    pub fn fallback<S>(self, service: S) -> Self
    where
        S: ConnectionService<Io> + Clone + Sync,
    {
        self.change(|routes| routes.fallback = Some(Arc::new(service)))
    }

    /// Sets how who has no route is told so. Default [`Refusal::Close`].
    pub fn refusal(self, refusal: Refusal) -> Self {
        self.change(|routes| routes.refusal = refusal)
    }

    /// Sets how long a connection waits for the service of its route to be ready; `None` is as long as it takes.
    /// Default 10 s.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|routes| routes.timeout = limit.into())
    }
}

impl<Io> Routes<Io> {
    fn choose(&self, conn: &Connection<Io>) -> Option<&dyn Target<Io>> {
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

    /// Always ready: see the [module](self).
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
                timeout: Some(DEFAULT_TIME_LIMIT),
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
