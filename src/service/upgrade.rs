//! Layers that turn one connection into another.

use crate::{BoxError, Connection, Phase, TimedOut};
use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// An upgrade has this long unless it is told otherwise: as long as a handshake in tls-listener. nginx's stream
/// module allows 60 s (`ssl_handshake_timeout`), which is long for a client that only has to answer.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// Turns one connection into another: a TLS handshake, a PROXY header, a check of who comes.
///
/// [`UpgradeLayer`] makes a layer of it and does what all such layers need: readiness, a time limit,
/// and no more than one small allocation. The [guide](crate::guide::layer) has one with a bounded read, a guard and tests,
/// and says when a layer of another shape is the right one.
///
/// ```
/// use reagent::{BoxError, Connection, IoStream, Rejected, Upgrade};
/// use tokio::io::AsyncReadExt;
///
/// /// Admits clients that begin with a secret byte.
/// struct Knock(u8);
///
/// impl<Io: IoStream> Upgrade<Io> for Knock {
///     type Io = Io;
///
///     async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
///         match conn.read_u8().await? {
///             byte if byte == self.0 => Ok(conn),
///             _ => Err(Rejected::new("knock").into()),
///         }
///     }
/// }
/// ```
pub trait Upgrade<Io>: Send + Sync + 'static {
    /// The stream of the new connection.
    type Io;

    /// Makes the new connection of the old. Dropped at the time limit, or with the connection.
    ///
    /// An error ends the connection: [`Rejected`](crate::Rejected) and [`TimedOut`] become outcomes of
    /// these names, any other [`Outcome::Failed`](crate::Outcome::Failed).
    fn upgrade(
        &self,
        conn: Connection<Io>,
    ) -> impl Future<Output = Result<Connection<Self::Io>, BoxError>> + Send;

    /// What a time-out is called, in one word or two. Default `upgrade`.
    fn name(&self) -> &'static str {
        "upgrade"
    }
}

/// The layer of an [`Upgrade`], which its clones share.
pub struct UpgradeLayer<U> {
    upgrade: Arc<U>,
    timeout: Option<Duration>,
}

impl<U> UpgradeLayer<U> {
    /// A layer that gives each connection 10 seconds for its upgrade.
    pub fn new(upgrade: U) -> Self {
        UpgradeLayer {
            upgrade: Arc::new(upgrade),
            timeout: Some(DEFAULT_TIME_LIMIT),
        }
    }

    /// Sets how long an upgrade may take; `None` is as long as the client likes.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = limit.into();
        self
    }
}

impl<U> Clone for UpgradeLayer<U> {
    fn clone(&self) -> Self {
        UpgradeLayer {
            upgrade: self.upgrade.clone(),
            timeout: self.timeout,
        }
    }
}

impl<U> fmt::Debug for UpgradeLayer<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeLayer")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<U, S> Layer<S> for UpgradeLayer<U> {
    type Service = UpgradeService<U, S>;

    fn layer(&self, inner: S) -> Self::Service {
        UpgradeService {
            layer: self.clone(),
            inner,
        }
    }
}

/// The service of an [`UpgradeLayer`]: ready when the service inside is.
pub struct UpgradeService<U, S> {
    layer: UpgradeLayer<U>,
    inner: S,
}

impl<U, S: Clone> Clone for UpgradeService<U, S> {
    fn clone(&self) -> Self {
        UpgradeService {
            layer: self.layer.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<U, S: fmt::Debug> fmt::Debug for UpgradeService<U, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<U, S, Io> Service<Connection<Io>> for UpgradeService<U, S>
where
    U: Upgrade<Io>,
    S: Service<Connection<U::Io>> + Clone,
    S::Error: Into<BoxError>,
    Io: Send + 'static,
    U::Io: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = UpgradeFuture<S, U::Io>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        conn.set_phase(Phase::Upgrading);
        // The one that was polled ready is the one to be called.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let UpgradeLayer { upgrade, timeout } = self.layer.clone();
        let upgrading = Box::pin(upgrade_in_time(upgrade, conn, timeout));
        UpgradeFuture {
            state: State::Upgrading { upgrading, inner },
        }
    }
}

async fn upgrade_in_time<U: Upgrade<Io>, Io: Send>(
    upgrade: Arc<U>,
    conn: Connection<Io>,
    limit: Option<Duration>,
) -> Result<Connection<U::Io>, BoxError> {
    // Nobody looks at the clock for nobody.
    let began = conn.is_observed().then(Instant::now);
    let upgrading = pin!(upgrade.upgrade(conn));
    let result = within(limit, upgrade.name(), upgrading).await;
    if let (Some(began), Ok(conn)) = (began, &result) {
        conn.notify_upgraded(upgrade.name(), began.elapsed());
    }
    result
}

/// By reference, since a future that is given to another is in it twice.
async fn within<T>(
    limit: Option<Duration>,
    name: &'static str,
    mut upgrading: Pin<&mut impl Future<Output = Result<T, BoxError>>>,
) -> Result<T, BoxError> {
    // Most need no timer, since the client's first bytes are there or none are needed.
    if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(upgrading.as_mut().poll(cx))).await {
        return result;
    }
    match limit {
        None => upgrading.await,
        Some(limit) => match tokio::time::timeout(limit, upgrading).await {
            Ok(result) => result,
            Err(_) => Err(TimedOut::new(name).into()),
        },
    }
}

/// The future of an [`UpgradeService`].
pub struct UpgradeFuture<S: Service<Connection<Io>>, Io> {
    state: State<S, Io>,
}

// ## Upgrading => Serving
enum State<S: Service<Connection<Io>>, Io> {
    Upgrading {
        upgrading: Pin<Box<dyn Future<Output = Result<Connection<Io>, BoxError>> + Send>>,
        inner: S,
    },
    /// Boxed here, where the handler's future is made, it moves no more: not into the task, nor through
    /// the upgrades further out.
    Serving(Pin<Box<S::Future>>),
}

// Nothing in it is pinned in place.
impl<S: Service<Connection<Io>>, Io> Unpin for UpgradeFuture<S, Io> {}

impl<S, Io> Future for UpgradeFuture<S, Io>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Upgrading { upgrading, inner } = &mut self.state {
            let conn = ready!(upgrading.as_mut().poll(cx))?;
            conn.set_phase(Phase::Handling);
            let serving = Box::pin(inner.call(conn));
            self.state = State::Serving(serving);
        }
        match &mut self.state {
            State::Serving(serving) => serving.as_mut().poll(cx).map_err(Into::into),
            State::Upgrading { .. } => unreachable!("left above"),
        }
    }
}

impl<S: Service<Connection<Io>>, Io> fmt::Debug for UpgradeFuture<S, Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpgradeFuture")
    }
}
