//! A connection without a server.

use super::memory::PIPE;
use crate::{
    addr::Addr,
    connection::{Connection, ListenerEntry, OPENING_TIMEOUT, Registrar, Registry},
    extensions::Extensions,
    limit::Limit,
    listener::Transport,
};
use std::sync::Arc;
use tokio::io::{DuplexStream, duplex};

/// Creates a connection without a server, and the client's end of it, for unit tests of handlers,
/// services and [upgrades](crate::Upgrade).
///
/// It is the only connection of its server, which has no listener, state, observers or limit. It is
/// over when the connection is dropped. To test what a server reports of a connection's end, such
/// as its [`Outcome`](crate::Outcome), use a server: see [`MemoryListener`](super::MemoryListener).
///
/// [`ConnectionHandle::drain`](crate::ConnectionHandle::drain) begins a drain, as the drain of a
/// server does.
///
/// # Example
///
/// ```
/// use reagent::{Connection, testing};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// async fn greet_until_drained(mut conn: Connection) -> std::io::Result<()> {
///     conn.write_all(b"hello, ").await?;
///     conn.draining().await;
///     conn.write_all(b"goodbye").await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (conn, mut client) = testing::connection();
/// let handle = conn.handle();
/// let test = async {
///     let mut greeting = [0; 7];
///     client.read_exact(&mut greeting).await?;
///     handle.drain();
///     let mut rest = String::new();
///     client.read_to_string(&mut rest).await?;
///     assert_eq!(rest, "goodbye");
///     Ok(())
/// };
/// tokio::try_join!(greet_until_drained(conn), test)?;
/// # Ok(())
/// # }
/// ```
pub fn connection() -> (Connection, DuplexStream) {
    let (client, server) = duplex(PIPE);
    let registry = Arc::new(Registry::new(
        Limit::unlimited(),
        Extensions::default(),
        Vec::new(),
        Some(OPENING_TIMEOUT),
    ));
    let addr = Addr::Other("testing".into());
    let listener = ListenerEntry::plain(addr, &registry);
    let Ok(admission) = listener.places.clone().try_take() else {
        unreachable!("its limits are unlimited");
    };
    let (place, _) = admission.into_parts();
    let registrar = Registrar::new(&registry, &listener, 0);
    let peer = Addr::Other("client".into());
    let conn = registrar.register(Transport::other(server), peer, place);
    (conn, client)
}
