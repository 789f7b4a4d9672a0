//! The tarpit: refused clients that are kept connected without an answer.

use super::keeper::Shared;
use reagent::{Acceptor, Connection, IoStream, Observer};
use std::{fmt, sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// A place for refused clients that are kept connected without an answer, so that an attacker waits
/// instead of trying again. Clones share it, even across layers and servers.
///
/// Pass it to layers with [`Refusal::tarpit`](crate::Refusal::tarpit). A client is held until it
/// closes the connection, at most for the [hold time](Self::hold_time), and at most `max` clients
/// are held at once. Any others are closed, as by [`Refusal::Close`](crate::Refusal::Close).
///
/// # Connection limits
///
/// A held client counts towards the server's
/// [`max_connections`](reagent::Server::max_connections), the limit of its listener, and a limit by
/// client that has admitted it. It has left its handler, so `InFlightLayer` does not count it. So
/// choose `max` well below `max_connections`, and add the tarpit to
/// the server as an observer: it then releases a held client whenever another client waits for a
/// place. While clients wait for a place, no client is held, whether or not the tarpit observes the
/// server.
///
/// # Example
///
/// ```
/// # #[cfg(feature = "access")]
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::{Refusal, Tarpit, access::{Access, AccessLayer, Rules}};
/// use std::time::Duration;
/// use tokio::{io::AsyncReadExt, time::Instant};
///
/// let tarpit = Tarpit::new(1_000).hold_time(Duration::from_secs(30));
/// let rules = Rules::new().deny_all(["192.0.2.0/24"])?;
/// let access = Access::new(rules).refusal(Refusal::tarpit(&tarpit));
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .max_connections(10_000)
///     .observe(tarpit.clone())
///     .layer(AccessLayer::new(access))
///     .start(reagent::handle(|_: Connection| async { std::io::Result::Ok(()) }))
///     .await?;
///
/// let attacker: std::net::SocketAddr = "192.0.2.1:4000".parse()?;
/// let began = Instant::now();
/// let mut client = clients.connect_from(attacker).await?;
/// assert_eq!(client.read(&mut [0]).await?, 0);
/// assert_eq!(began.elapsed().as_secs(), 30);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "access"))]
/// # fn main() {}
/// ```
///
/// # Details
///
/// A held connection takes about 1,300 bytes: its socket's registration, its entry in the server's
/// list and what waits for its end. The handler's future is never made, and the futures and streams
/// of all layers are dropped. One task with one timer serves all held clients, on the runtime of the
/// first of them. It ends with the last one, and closes all of them if that runtime ends.
///
/// What the client sends is not read. The kernel keeps up to a receive window of it, 64 KiB by
/// default. A close is noticed at once, except behind bytes that the window holds back, and except
/// by streams that are not sockets: see [`HeldConnection::ended`](reagent::HeldConnection::ended).
/// The hold time bounds these cases.
///
/// A drain ends all held connections at once. They are in the phase
/// [`Detached`](reagent::Phase::Detached), and observers learn that they were rejected when they
/// are released.
#[derive(Clone)]
pub struct Tarpit {
    shared: Arc<Shared>,
}

/// A snapshot of the counts of a [`Tarpit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TarpitStats {
    /// The number of clients that are held now.
    pub held: usize,
    /// The number of clients that have been held, including those that are held now.
    pub total: u64,
    /// The number of clients that were closed because the tarpit was full.
    pub overflowed: u64,
    /// The number of clients that were closed or released because other clients waited for a place.
    pub gave_way: u64,
}

impl Tarpit {
    /// Creates a tarpit that holds at most `max` clients at once, each for up to one minute.
    pub fn new(max: usize) -> Self {
        Tarpit {
            shared: Arc::new(Shared::new(max, Duration::from_secs(60))),
        }
    }

    /// Sets the maximum time for which a client is held. The default is one minute. It applies to
    /// clients that are refused from now on.
    pub fn hold_time(self, limit: Duration) -> Self {
        self.shared.set_hold_time(limit);
        self
    }

    /// Sets the maximum number of clients that are held at once. Clients that are held already stay
    /// held.
    pub fn set_max(&self, max: usize) {
        self.shared.set_max(max);
    }

    /// Returns the maximum number of clients that are held at once.
    pub fn max(&self) -> usize {
        self.shared.max()
    }

    /// Returns a snapshot of the counts.
    pub fn stats(&self) -> TarpitStats {
        self.shared.stats()
    }

    /// Holds the connection, or closes it.
    pub(super) fn take<Io: IoStream>(&self, conn: Connection<Io>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let Some(place) = self.shared.enter(&conn.handle()) else {
            return;
        };
        // This drops the streams of layers.
        let held = conn.hold();
        if let Some(keeper) = place.occupy(held) {
            // One task for all held connections. It ends with the last of them.
            drop(runtime.spawn(keeper.run()));
        }
    }
}

/// Releases a held client whenever another client waits for a place.
impl Observer for Tarpit {
    fn limit_reached(&self, acceptor: &Acceptor) {
        self.shared.give_way(acceptor);
    }
}

impl fmt::Debug for Tarpit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tarpit")
            .field("max", &self.max())
            .field("stats", &self.stats())
            .finish()
    }
}
