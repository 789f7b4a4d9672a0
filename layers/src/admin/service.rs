//! The service, and its settings.

use super::{
    AdminFuture, Certificate, InsecureAddr, Problem, UpstreamInfo, body,
    guard::{self, Guard},
    limits::{Limit, Limits},
    listeners::Describe,
    respond,
    upstreams::ChangeUpstream,
    writes::Writes,
};
use crate::{access::Bans, top::TopClients};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use reagent::{Addr, BoxError, ServerHandle};
use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    task::{Context, Poll},
};
use tokio::time::Instant;
use tower_service::Service;

/// A service of HTTP requests that shows a server and changes it.
///
/// Set the token, host names, bans, certificates, upstreams and the ranking of clients before you clone it or pass it to a server.
/// Limits and the [attached](Self::attach) server are shared by all clones.
#[derive(Clone)]
#[must_use = "a service does nothing unless it is served"]
pub struct Admin {
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
}

#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) guard: Arc<Guard>,
    pub(super) bans: Option<Bans>,
    pub(super) top: Option<TopClients>,
    pub(super) upstreams: Option<Arc<dyn Fn() -> Vec<UpstreamInfo> + Send + Sync>>,
    pub(super) change_upstream: Option<Arc<ChangeUpstream>>,
    pub(super) certificates: Option<Arc<dyn Fn() -> Vec<Certificate> + Send + Sync>>,
    pub(super) listeners: Option<Arc<Describe>>,
}

pub(super) struct Shared {
    pub(super) server: OnceLock<ServerHandle>,
    pub(super) limits: Limits,
    pub(super) writes: Writes,
    pub(super) is_handed_over: AtomicBool,
    pub(super) created: Instant,
}

impl Default for Admin {
    fn default() -> Self {
        Self::new()
    }
}

impl Admin {
    /// Creates a service that shows no server yet.
    pub fn new() -> Self {
        Admin {
            settings: Settings::default(),
            shared: Arc::new(Shared {
                server: OnceLock::new(),
                limits: Limits::default(),
                writes: Writes::default(),
                is_handed_over: AtomicBool::new(false),
                created: Instant::now(),
            }),
        }
    }

    /// Requires this token, in the header `Authorization: Bearer TOKEN`, for everything but the
    /// files of the page, `/ready` and `/live`. By default no token is needed, and only clients of
    /// this machine are served.
    ///
    /// # Panics
    ///
    /// Panics if the token is empty.
    pub fn token(mut self, token: impl AsRef<str>) -> Self {
        let token = token.as_ref();
        assert!(!token.is_empty(), "the token of the admin page is empty");
        let guard = Arc::make_mut(&mut self.settings.guard);
        guard.token = Some(token.as_bytes().into());
        self
    }

    /// Adds a name by which the page may be reached, besides `localhost` and IP addresses. Requests
    /// for any other host are refused.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        let guard = Arc::make_mut(&mut self.settings.guard);
        guard.hosts.push(name.into());
        self
    }

    /// Sets the ban list to show and change: the one of the server's
    /// [`Access`](crate::access::Access).
    pub fn bans(mut self, bans: Bans) -> Self {
        self.settings.bans = Some(bans);
        self
    }

    /// Sets the ranking of clients to show. It must also [observe](reagent::Server::observe) the
    /// server.
    pub fn top(mut self, top: TopClients) -> Self {
        self.settings.top = Some(top);
        self
    }

    /// Sets the source of the certificates to show. It is called for each request that asks for
    /// them.
    ///
    /// ```
    /// # fn f(tls: reagent_layers::tls::TlsReloader) {
    /// use reagent_layers::admin::{Admin, Certificate};
    ///
    /// let admin = Admin::new().certificates(move || {
    ///     let served = tls.certificates().into_iter();
    ///     let certificates = served.map(|served| Certificate {
    ///         name: served.name,
    ///         not_after: served.not_after,
    ///     });
    ///     certificates.collect()
    /// });
    /// # let _ = admin;
    /// # }
    /// ```
    pub fn certificates(
        mut self,
        certificates: impl Fn() -> Vec<Certificate> + Send + Sync + 'static,
    ) -> Self {
        self.settings.certificates = Some(Arc::new(certificates));
        self
    }

    /// Sets the source of the upstreams to show. It is called for each request that asks for them.
    ///
    /// ```
    /// # fn f(upstreams: reagent_layers::upstream::Upstreams<std::net::SocketAddr>) {
    /// use reagent_layers::{admin::{Admin, UpstreamInfo}, upstream::UpstreamState};
    ///
    /// let admin = Admin::new().upstreams(move || {
    ///     let all = upstreams.stats().into_iter();
    ///     let shown = all.map(|stats| UpstreamInfo {
    ///         set: "database".to_owned(),
    ///         name: stats.name.to_string(),
    ///         weight: stats.weight,
    ///         open: stats.open,
    ///         total: stats.total,
    ///         failures: stats.failures,
    ///         is_available: stats.state.is_available(),
    ///         state: stats.state.to_string(),
    ///         since: stats.since,
    ///         last_error: stats.last_error.map(|error| error.to_string()),
    ///     });
    ///     shown.collect()
    /// });
    /// # let _ = admin;
    /// # }
    /// ```
    pub fn upstreams(
        mut self,
        upstreams: impl Fn() -> Vec<UpstreamInfo> + Send + Sync + 'static,
    ) -> Self {
        self.settings.upstreams = Some(Arc::new(upstreams));
        self
    }

    /// Adds a limit that can be changed, or replaces the one of that name.
    ///
    /// The limit `max-connections` is there from the start and sets that of the server.
    ///
    /// `unit` is shown beside the number. `get` returns the current maximum and `set` changes it;
    /// `None` means no limit. If `set` refuses a change, its error is shown to the user.
    ///
    /// ```
    /// use reagent_layers::{admin::Admin, limit::PerClient};
    ///
    /// let admin = Admin::new();
    /// let per_client = PerClient::new(20);
    /// let limit = per_client.clone();
    /// admin.set_limit(
    ///     "per-client",
    ///     "connections",
    ///     move || u64::try_from(per_client.max()).ok(),
    ///     move |max| {
    ///         limit.set_max(usize::try_from(max.ok_or("this limit cannot be lifted")?)?);
    ///         Ok(())
    ///     },
    /// );
    /// ```
    pub fn set_limit(
        &self,
        name: &str,
        unit: &str,
        get: impl Fn() -> Option<u64> + Send + Sync + 'static,
        set: impl Fn(Option<u64>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) {
        let limit = Limit {
            unit: unit.into(),
            get: Arc::new(get),
            set: Arc::new(set),
        };
        self.shared.limits.insert(name, limit);
    }

    /// Removes a limit that was added. Returns whether there was one.
    pub fn remove_limit(&self, name: &str) -> bool {
        self.shared.limits.remove(name)
    }

    /// Attaches the server to show, which may be the one that serves this service, and starts to
    /// [track](ServerHandle::track_activity) the activity of its connections. Only the first call has
    /// an effect.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub fn attach(&self, server: &ServerHandle) {
        if self.shared.server.set(server.clone()).is_ok() {
            server.track_activity();
        }
    }

    /// Checks that the service may be served at this address.
    ///
    /// # Errors
    ///
    /// Returns [`InsecureAddr`] if no token is set and the address is neither a loopback address
    /// nor a Unix socket.
    pub fn check_addr(&self, addr: &Addr) -> Result<(), InsecureAddr> {
        match self.settings.guard.token.is_some() || guard::is_local(addr) {
            true => Ok(()),
            false => Err(InsecureAddr { addr: addr.clone() }),
        }
    }

    pub(super) fn server(&self) -> Result<&ServerHandle, Problem> {
        let starting = || {
            let status = http::StatusCode::SERVICE_UNAVAILABLE;
            Problem::new(status, "the server has not started yet")
        };
        self.shared.server.get().ok_or_else(starting)
    }
}

impl<B> Service<Request<B>> for Admin
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = AdminFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AdminFuture {
        let (head, body) = request.into_parts();
        let admin = self.clone();
        AdminFuture(Box::pin(async move {
            respond::respond(&admin, head, body::read(body)).await
        }))
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("server", &self.shared.server.get())
            .field("has_token", &self.settings.guard.token.is_some())
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}
