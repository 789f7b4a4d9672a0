//! The layer that limits the rate of each client, and its settings.

use super::{super::LAYER, PerClientRateService};
use crate::{
    DryRun, Refusal,
    client::{
        BoundedMap, CAPACITY, ClientKey,
        bucket::{Bucket, Rate},
    },
};
use reagent::ConnectionHandle;
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) connection above its client's rate.
pub const CLIENT_RATE: &str = "client rate";

/// A limit on the connections per second of each client. Clones share it, even across servers.
///
/// It remembers a bounded number of clients. It forgets a client only once its whole burst is
/// available again, so that forgetting it makes no difference. If the table is full of other
/// clients, **all clients that are not in it share one rate**, as if they were one client. So an
/// attacker with very many addresses can slow down newcomers, but neither known clients nor the
/// server. Wider [`prefixes`](Self::prefixes) make such an attacker a single client.
///
/// ```
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::limit::{PerClientRate, PerClientRateLayer};
/// use std::{net::SocketAddr, time::Duration};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// // Ten connections per minute, and up to two at once.
/// let rate = PerClientRate::new(10.0 / 60.0, 2.0);
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(PerClientRateLayer::new(rate))
///     .start(reagent::handle(|mut conn: Connection| async move { conn.write_u8(1).await }))
///     .await?;
///
/// let client: SocketAddr = "192.0.2.1:4000".parse()?;
/// for expected in [true, true, false] {
///     let is_served = clients.connect_from(client).await?.read_u8().await.is_ok();
///     assert_eq!(is_served, expected);
/// }
/// tokio::time::advance(Duration::from_secs(6)).await;
/// assert!(clients.connect_from(client).await?.read_u8().await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PerClientRate {
    shared: Arc<Mutex<State>>,
    prefixes: ClientKey,
    refusal: Refusal,
    dry_run: DryRun,
}

struct State {
    rate: Rate,
    clients: BoundedMap<Bucket>,
    /// The bucket shared by all clients that found the table full.
    others: Bucket,
}

impl PerClientRate {
    /// Allows each client `per_second` connections per second, and up to `burst` at once after a
    /// pause. Closes any beyond that.
    ///
    /// A `burst` below 1 counts as 1. With a rate of 0, a client gets its burst and nothing after
    /// that.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let rate = Rate::new(per_second, burst);
        let state = State {
            rate,
            clients: BoundedMap::new(CAPACITY),
            others: Bucket::full(rate, Instant::now()),
        };
        PerClientRate {
            shared: Arc::new(Mutex::new(state)),
            prefixes: ClientKey::default(),
            refusal: Refusal::default(),
            dry_run: DryRun::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the number of leading bits of an address that identify a client. The default is 32 for
    /// IPv4 and 64 for IPv6, since an IPv6 client usually has a whole /64 (RFC 6177). Values above
    /// 32 and 128 mean the whole address.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Sets the maximum number of clients to remember, and forgets those remembered so far, for all
    /// clones. The minimum is 1. The default is 65,536, which bounds the table at about 10 MB.
    pub fn capacity(self, clients: usize) -> Self {
        self.state().clients = BoundedMap::new(clients);
        self
    }

    /// Sets the treatment of clients above the rate. The default is [`Refusal::Close`], which tells
    /// them nothing.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Sets whether the limit is only tried. In a [`DryRun`], all connections are served, and those
    /// that would have been refused are reported.
    pub fn dry_run(mut self, dry_run: impl Into<DryRun>) -> Self {
        self.dry_run = dry_run.into();
        self
    }

    /// Returns the number of connections per second that each client may open.
    pub fn per_second(&self) -> f64 {
        self.state().rate.per_second()
    }

    /// Changes the rate and the burst of all clients, at once. See [`new`](Self::new).
    pub fn set(&self, per_second: f64, burst: f64) {
        self.state().rate = Rate::new(per_second, burst);
    }

    /// Returns the number of clients remembered.
    pub fn clients(&self) -> usize {
        self.state().clients.len()
    }

    pub(super) fn admits(&self, ip: IpAddr) -> bool {
        let (client, now) = (self.prefixes.of(ip), Instant::now());
        let State {
            rate,
            clients,
            others,
        } = &mut *self.state();
        let known = clients.with(
            client,
            |bucket| bucket.is_full(*rate, now),
            || Bucket::full(*rate, now),
            |bucket| bucket.take(*rate, now).is_ok(),
        );
        known.unwrap_or_else(|| others.take(*rate, now).is_ok())
    }

    /// Returns whether a dry run spares a connection that would be refused.
    pub(super) fn spares(&self, connection: &ConnectionHandle) -> bool {
        self.dry_run.spares(connection, LAYER, CLIENT_RATE)
    }

    pub(super) fn how(&self) -> &Refusal {
        &self.refusal
    }
}

impl fmt::Debug for PerClientRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerClientRate")
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

/// A layer that limits the connections per second of each client by a [`PerClientRate`].
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct PerClientRateLayer {
    rate: PerClientRate,
}

impl PerClientRateLayer {
    /// Creates a layer that limits each client by `rate`.
    pub fn new(rate: PerClientRate) -> Self {
        PerClientRateLayer { rate }
    }
}

impl<S> Layer<S> for PerClientRateLayer {
    type Service = PerClientRateService<S>;

    fn layer(&self, inner: S) -> PerClientRateService<S> {
        PerClientRateService::new(inner, self.rate.clone())
    }
}
