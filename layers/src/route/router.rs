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

/// As an upgrade's.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A service that hands each connection to another: the first whose condition holds. Cheap to clone.
///
/// `Io` is the stream of the connections that it gets, which follows from the layers around it.
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
    /// A router that refuses everybody.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Routes<Io>)) -> Self {
        change(Arc::make_mut(&mut self.routes));
        self
    }

    /// Sends clients to `service` for which `condition` holds, and none of the conditions before it.
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

    /// Sends clients to `service` for which no condition holds. By default they are refused.
    pub fn fallback<S>(self, service: S) -> Self
    where
        S: ConnectionService<Io> + Clone + Sync,
    {
        self.change(|routes| routes.fallback = Some(Arc::new(service)))
    }

    /// Sets what a client without a route receives. Default [`Refusal::Close`].
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

    /// Always ready: see the [module](super).
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
