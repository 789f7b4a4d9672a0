//! The layer that limits connections by client, and its settings.

use super::{
    PerClientService,
    clients::{Clients, Place},
};
use crate::{DryRun, Refusal, client::ClientKey};
use reagent::Limit;
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) connection above its client's limit.
pub const CLIENT_CONNECTIONS: &str = "client connections";

/// A limit on the open connections of each client. Clones share it, even across servers.
///
/// It remembers only clients that have connections, so its size is bounded by the server's own
/// limit.
#[derive(Clone)]
pub struct PerClient {
    clients: Arc<Clients>,
    prefixes: ClientKey,
    pub(super) wait: Option<Wait>,
    refusal: Refusal,
    pub(super) dry_run: DryRun,
}

/// The number of connections of a client that may wait, and the time that each may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) most: usize,
    pub(super) time: Duration,
}

impl PerClient {
    /// Allows `max` connections per client and closes any beyond that. With 0, all clients with an
    /// IP address are refused.
    pub fn new(max: usize) -> Self {
        Self::of(Clients::new(max, None))
    }

    /// Allows `max` connections per client, and closes any beyond that or beyond the limit of all
    /// clients together, `all`. Several `PerClient`s may share that limit, or have
    /// [children](Limit::child) of one.
    ///
    /// Do not use the limit of the server: each connection has a place there already.
    ///
    /// # Example
    ///
    /// All clients of two listeners together, those of each, and each client:
    ///
    /// ```
    /// use reagent::Limit;
    /// use reagent_layers::limit::PerClient;
    ///
    /// let all = Limit::new(1_000);
    /// let guests = PerClient::within(&all.child(100), 2);
    /// let members = PerClient::within(&all, 20);
    /// # drop((guests, members));
    /// ```
    pub fn within(all: &Limit, max: usize) -> Self {
        Self::of(Clients::new(max, Some(all.clone())))
    }

    fn of(clients: Arc<Clients>) -> Self {
        PerClient {
            clients,
            prefixes: ClientKey::default(),
            wait: None,
            refusal: Refusal::default(),
            dry_run: DryRun::default(),
        }
    }

    /// Sets the number of leading bits of an address that identify a client. The default is 32 for
    /// IPv4 and 64 for IPv6, since an IPv6 client usually has a whole /64 (RFC 6177). Values above
    /// 32 and 128 mean the whole address.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Allows up to `connections` connections of each client to wait until another connection of
    /// that client ends, for up to `time` each. By default none may wait.
    ///
    /// A connection that waits is refused when its time is up, and any beyond `connections` are
    /// refused at once. Those that wait are served in the order in which they came.
    ///
    /// A connection that waits counts towards the server's
    /// [`max_connections`](reagent::Server::max_connections), and holds whatever the inner layers
    /// reserve when they become ready. Keep `connections` small, since that is what each client can
    /// take from others.
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::limit::{PerClient, PerClientLayer};
    /// use std::{net::SocketAddr, time::Duration};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// // One connection per client, and one more that waits for it for up to five seconds.
    /// let limit = PerClient::new(1).wait(1, Duration::from_secs(5));
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener)
    ///     .layer(PerClientLayer::new(limit))
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         let byte = conn.read_u8().await?;
    ///         conn.write_u8(byte).await
    ///     }))
    ///     .await?;
    ///
    /// let client: SocketAddr = "192.0.2.1:4000".parse()?;
    /// let mut first = clients.connect_from(client).await?;
    /// let mut second = clients.connect_from(client).await?;
    /// let mut third = clients.connect_from(client).await?;
    /// assert!(third.read_u8().await.is_err()); // refused at once
    /// first.write_u8(1).await?;
    /// assert_eq!(first.read_u8().await?, 1);
    /// second.write_u8(2).await?;
    /// assert_eq!(second.read_u8().await?, 2); // served once the first had ended
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(mut self, connections: usize, time: Duration) -> Self {
        self.wait = (connections > 0).then_some(Wait {
            most: connections,
            time,
        });
        self
    }

    /// Sets the treatment of refused connections. The default is [`Refusal::Close`], which tells
    /// the client nothing.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Sets whether the limit is only tried. In a [`DryRun`], all connections are served, and those
    /// that would have been refused are reported.
    ///
    /// A connection that would have to [wait](Self::wait) is served at once. In the meantime it
    /// keeps its turn in the queue, and takes the place that it would have got. It is reported only
    /// if its time is up before that.
    pub fn dry_run(mut self, dry_run: impl Into<DryRun>) -> Self {
        self.dry_run = dry_run.into();
        self
    }

    /// Returns the number of connections that each client may have.
    pub fn max(&self) -> usize {
        self.clients.max()
    }

    /// Changes the number of connections that each client may have. Open connections stay open,
    /// even if there are more.
    pub fn set_max(&self, max: usize) {
        self.clients.set_max(max);
    }

    /// Returns the number of clients that have connections, open or waiting.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Returns the number of connections of the client with this address, without those that wait
    /// and those that a dry run has spared.
    pub fn connections(&self, ip: IpAddr) -> usize {
        self.clients.connections(self.prefixes.of(ip))
    }

    pub(super) fn enter(&self, ip: IpAddr) -> Option<Place> {
        self.clients.enter(self.prefixes.of(ip))
    }

    pub(super) fn join(&self, ip: IpAddr, most: usize) -> Option<Place> {
        self.clients.wait(self.prefixes.of(ip), most)
    }

    pub(super) fn how(&self) -> &Refusal {
        &self.refusal
    }
}

impl fmt::Debug for PerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerClient")
            .field("max", &self.clients.max())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

/// A layer that limits the open connections of each client by a [`PerClient`].
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct PerClientLayer {
    limit: PerClient,
}

impl PerClientLayer {
    /// Creates a layer that limits each client by `limit`.
    pub fn new(limit: PerClient) -> Self {
        PerClientLayer { limit }
    }
}

impl<S> Layer<S> for PerClientLayer {
    type Service = PerClientService<S>;

    fn layer(&self, inner: S) -> PerClientService<S> {
        PerClientService::new(inner, self.limit.clone())
    }
}
