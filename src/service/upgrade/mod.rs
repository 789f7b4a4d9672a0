//! Layers that turn one connection into another.

mod future;
mod in_time;
mod layer;
mod service;

pub use future::UpgradeFuture;
pub use layer::UpgradeLayer;
pub use service::UpgradeService;

use crate::{BoxError, connection::Connection};
use std::future::Future;

/// Turns one connection into another: a TLS handshake, a PROXY header, a check of who comes.
///
/// [`UpgradeLayer`] makes a layer of it and does what all such layers need: readiness, a time limit,
/// a drain that does not wait for silent clients, and no more than one small allocation. The [guide](crate::guide::layer) has one with a bounded read, a guard and tests,
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

    /// Makes the new connection of the old. The future is dropped at the time limit, with the
    /// connection, or half a second after a drain has begun if the client has sent nothing to it:
    /// see [`UpgradeLayer`].
    ///
    /// An error ends the connection: [`Rejected`](crate::Rejected) and [`TimedOut`](crate::TimedOut) become outcomes of
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
