//! Upgrades: layers that turn one connection into another.

mod future;
mod in_time;
mod layer;
mod service;

pub use future::UpgradeFuture;
pub use layer::UpgradeLayer;
pub use service::UpgradeService;

use crate::{BoxError, connection::Connection};
use std::future::Future;

/// Turns a connection into another one: a TLS handshake, a PROXY header, an access check.
///
/// [`UpgradeLayer`] makes a layer of it and takes care of everything that such layers have in
/// common: readiness, a time limit, and a drain that does not wait for silent clients. It allocates
/// the futures of the upgrade and the handler, and nothing else unless it has to wait for the
/// client.
///
/// An upgrade that has read more than it consumes gives the rest back with a
/// [`PrefixedIo`](crate::PrefixedIo). A unit test gets its connection from
/// `reagent::testing::connection`.
///
/// The [guide to layers](crate::guide::layer) contains an upgrade with a bounded read, a guard and
/// tests, and explains which layers are better written as a service.
///
/// # Example
///
/// ```
/// use reagent::{BoxError, Connection, IoStream, Rejected, Server, Upgrade, UpgradeLayer};
/// use tokio::{
///     io::{AsyncReadExt, AsyncWriteExt},
///     net::TcpStream,
/// };
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
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let server = Server::bind("127.0.0.1:0")
///     .layer(UpgradeLayer::new(Knock(b'!')))
///     .start(reagent::handle(|mut conn: Connection| async move {
///         conn.write_all(b"welcome").await
///     }))
///     .await?;
///
/// for (knock, expected) in [(b"!", "welcome"), (b"?", "")] {
///     let mut client = TcpStream::connect(server.local_addr().to_string()).await?;
///     client.write_all(knock).await?;
///     let mut answer = String::new();
///     client.read_to_string(&mut answer).await?;
///     assert_eq!(answer, expected);
/// }
/// # server.drain(std::time::Duration::from_secs(1)).await;
/// assert_eq!(server.stats().rejected, 1);
/// # Ok(())
/// # }
/// ```
pub trait Upgrade<Io>: Send + Sync + 'static {
    /// The stream of the new connection.
    type Io;

    /// Upgrades one connection.
    ///
    /// The future is dropped at the time limit, with the connection. It is also dropped half a
    /// second after the start of a drain if the client has sent nothing to it: see
    /// [`UpgradeLayer`].
    ///
    /// # Errors
    ///
    /// An error ends the connection and decides its outcome: [`Rejected`](crate::Rejected) and
    /// [`TimedOut`](crate::TimedOut) become the outcomes of the same names, an I/O error because
    /// the client went away becomes [`Outcome::Disconnected`](crate::Outcome::Disconnected), and
    /// any other error becomes [`Outcome::Failed`](crate::Outcome::Failed).
    fn upgrade(
        &self,
        conn: Connection<Io>,
    ) -> impl Future<Output = Result<Connection<Self::Io>, BoxError>> + Send;

    /// Returns the name of the upgrade, one or two words, for timeouts and observers. The default
    /// is `upgrade`.
    fn name(&self) -> &'static str {
        "upgrade"
    }
}
