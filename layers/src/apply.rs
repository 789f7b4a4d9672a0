//! The connections that a change applies to.

/// The connections that a change of rules, bans or authorities applies to.
///
/// ```
/// use reagent::{Connection, Outcome, Server, testing::MemoryListener};
/// use reagent_layers::{Apply, access::{Access, AccessLayer, REVOKED, Rules}};
/// use std::{net::SocketAddr, time::Duration};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let access = Access::new(Rules::new()).apply(Apply::Existing);
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(AccessLayer::new(access.clone()))
///     .start(reagent::handle(|mut conn: Connection| async move {
///         conn.write_u8(1).await?;
///         conn.read_u8().await.map(drop) // waits
///     }))
///     .await?;
///
/// let addr: SocketAddr = "192.0.2.1:4000".parse()?;
/// let mut client = clients.connect_from(addr).await?;
/// client.read_u8().await?;
/// let connection = server.connection(1).unwrap();
/// access.bans().ban(addr.ip(), Duration::from_secs(600));
/// let outcome = connection.closed().await;
/// assert!(matches!(outcome, Outcome::Rejected(rejected) if rejected.reason() == REVOKED));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Apply {
    /// Connections that are accepted after the change.
    #[default]
    New,
    /// Open connections as well: those that are no longer admitted are ended. No change is missed,
    /// even by a connection that is being accepted at that moment.
    Existing,
}
