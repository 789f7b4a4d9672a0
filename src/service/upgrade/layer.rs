//! The layer of an upgrade and its settings.

use super::{Upgrade, UpgradeFuture, UpgradeService, future::Upgrading, in_time::upgrade_in_time};
use crate::{
    BoxError,
    connection::{Connection, Phase},
};
use std::{fmt, future::Future, sync::Arc, time::Duration};
use tower_layer::Layer;
use tower_service::Service;

/// An upgrade has this long unless it is told otherwise: as long as a handshake in tls-listener. nginx's stream
/// module allows 60 s (`ssl_handshake_timeout`), which is long for a client that only has to answer.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The layer of an [`Upgrade`](crate::Upgrade), which its clones share.
///
/// When the server drains, an upgrade whose client has sent nothing since it began is given half a
/// second more, and then ends with [`Outcome::Drained`](crate::Outcome::Drained): a silent client does
/// not hold up a drain. An upgrade that has begun keeps its own limit.
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct UpgradeLayer<U> {
    pub(super) upgrade: Arc<U>,
    pub(super) timeout: Option<Duration>,
}

impl<U> UpgradeLayer<U> {
    /// A layer that gives each connection 10 seconds for its upgrade.
    pub fn new(upgrade: U) -> Self {
        UpgradeLayer {
            upgrade: Arc::new(upgrade),
            timeout: Some(DEFAULT_TIMEOUT),
        }
    }

    /// Sets how long an upgrade may take; `None` is as long as the client likes. All upgrades of a
    /// connection together are bounded by [`Server::opening_timeout`](crate::Server::opening_timeout).
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = limit.into();
        self
    }

    /// Upgrades one connection, for handlers that start an upgrade themselves, such as TLS after
    /// `STARTTLS`. The time limit, the observer event, and the rules for drains and
    /// [`Server::opening_timeout`](crate::Server::opening_timeout) are those of the layer.
    ///
    /// ```
    /// # use reagent::{BoxError, BoxIo, Connection, UpgradeLayer, Upgrade, handle};
    /// # use tokio::io::AsyncReadExt;
    /// # struct Knock;
    /// # impl Upgrade<BoxIo> for Knock {
    /// #     type Io = BoxIo;
    /// #     async fn upgrade(&self, conn: Connection) -> Result<Connection, BoxError> {
    /// #         Ok(conn)
    /// #     }
    /// # }
    /// let knock = UpgradeLayer::new(Knock);
    /// let service = handle(move |mut conn: Connection| {
    ///     let knock = knock.clone();
    ///     async move {
    ///         if conn.read_u8().await? == b'!' {
    ///             conn = knock.upgrade(conn).await?;
    ///         }
    ///         // …
    /// #       drop(conn);
    ///         Ok::<_, BoxError>(())
    ///     }
    /// });
    /// # fn is_service(_: impl reagent::ConnectionService) {}
    /// # is_service(service);
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of the upgrade, or [`TimedOut`](crate::TimedOut) with its
    /// [name](Upgrade::name). The connection is lost. A handler that returns the error ends with
    /// the same outcome as behind the layer.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the connection is dropped with the future.
    pub fn upgrade<Io>(
        &self,
        conn: Connection<Io>,
    ) -> impl Future<Output = Result<Connection<U::Io>, BoxError>> + Send + use<U, Io>
    where
        U: Upgrade<Io>,
        Io: Send + 'static,
        U::Io: 'static,
    {
        let handle = conn.handle();
        let upgrading = self.begin(conn);
        async move {
            let upgraded = upgrading.await;
            handle.entry.set_phase(Phase::Handling);
            upgraded
        }
    }

    /// Upgrades one connection, then serves it with `inner`, which must have been polled ready.
    ///
    /// For layers that upgrade some connections and pass on the others as they are, which then cost
    /// nothing. To upgrade every connection, use this as a layer; in a handler, use
    /// [`upgrade`](Self::upgrade).
    pub fn upgrade_and_serve<S, Io>(
        &self,
        conn: Connection<Io>,
        inner: S,
    ) -> UpgradeFuture<S, U::Io>
    where
        U: Upgrade<Io>,
        S: Service<Connection<U::Io>>,
        S::Error: Into<BoxError>,
        Io: Send + 'static,
        U::Io: 'static,
    {
        UpgradeFuture::new(self.begin(conn), inner)
    }

    /// The box makes the future `Send` whatever borrows it holds, so that a handler may await it.
    fn begin<Io>(&self, conn: Connection<Io>) -> Upgrading<U::Io>
    where
        U: Upgrade<Io>,
        Io: Send + 'static,
        U::Io: 'static,
    {
        conn.set_phase(Phase::Upgrading);
        Box::pin(upgrade_in_time(self.upgrade.clone(), conn, self.timeout))
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
        UpgradeService::new(self.clone(), inner)
    }
}
