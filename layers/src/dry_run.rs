//! The switch of a dry run.

use reagent::ConnectionHandle;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// A switch that makes a limit decide without acting, to see what it would do before it is
/// enforced. Clones share the switch, so it can be changed while a server runs, for one limit or
/// for many.
///
/// Everything that refuses, delays or ends connections by a setting has a method `dry_run`, which
/// takes a `DryRun` or a `bool`. Off by default.
///
/// A limit in a dry run decides as it would if it were enforced, and reports each connection that
/// it would have acted on, once:
///
/// - Observers receive [`connection_spared`](reagent::Observer::connection_spared).
/// - The label `dry_run` of the connection lists the limit, such as `limit: client connections`.
/// - `metrics` counts it in `reagent_dry_run_total`, and `trace` emits an event.
///
/// The connection then goes on, and no longer exists for that limit: it takes no place and no
/// token, and the limit does not act on it again. So on the same traffic, a limit spares exactly
/// those connections that it would have refused, as long as they do not behave otherwise because
/// they were served. The methods `dry_run` describe what differs for limits that wait. A limit
/// further in sees a spared connection as any other.
///
/// If the switch is turned off, decisions made from then on are enforced. Connections that were
/// spared before stay free of the limit until they end, also if changes of rules apply to open
/// connections (`Apply::Existing`).
///
/// # Example
///
/// ```
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::{DryRun, access::{Access, AccessLayer, Rules}};
/// use std::net::SocketAddr;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let dry_run = DryRun::new(true);
/// let access = Access::new(Rules::new().deny_all(["192.0.2.0/24"])?).dry_run(dry_run.clone());
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(AccessLayer::new(access))
///     .start(reagent::handle(|mut conn: Connection| async move {
///         let spared = conn.handle().label("dry_run").unwrap_or_default();
///         conn.write_all(spared.as_bytes()).await
///     }))
///     .await?;
///
/// let client: SocketAddr = "192.0.2.1:4000".parse()?;
/// let mut answer = String::new();
/// clients.connect_from(client).await?.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "access: access");
///
/// // The rules do what was expected, and are enforced from now on.
/// dry_run.set(false);
/// assert_eq!(clients.connect_from(client).await?.read(&mut [0]).await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct DryRun(Arc<AtomicBool>);

impl DryRun {
    /// Creates a switch that is on or off.
    pub fn new(is_on: bool) -> Self {
        DryRun(Arc::new(AtomicBool::new(is_on)))
    }

    /// Returns whether the limits decide without acting.
    pub fn is_on(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Turns the dry run on or off, for all clones.
    pub fn set(&self, is_on: bool) {
        self.0.store(is_on, Relaxed);
    }

    /// Returns whether a connection is spared, and reports it if it is.
    pub(crate) fn spares(
        &self,
        connection: &ConnectionHandle,
        layer: &'static str,
        reason: &str,
    ) -> bool {
        let is_on = self.is_on();
        if is_on {
            connection.report_spared(layer, reason);
        }
        is_on
    }
}

impl From<bool> for DryRun {
    fn from(is_on: bool) -> Self {
        DryRun::new(is_on)
    }
}

/// The dry run of a limit of one connection.
#[cfg(feature = "http")]
#[derive(Clone)]
pub(crate) struct Trial {
    pub(crate) dry_run: DryRun,
    pub(crate) connection: ConnectionHandle,
    pub(crate) layer: &'static str,
}

#[cfg(feature = "http")]
impl Trial {
    /// Returns whether the connection is spared, and reports it if it is.
    pub(crate) fn spares(&self, reason: &str) -> bool {
        self.dry_run.spares(&self.connection, self.layer, reason)
    }
}
