//! The limits as a program sets and changes them.

use super::{
    Quota, Rates,
    shared::{Scope, Shared},
};
use crate::{DryRun, client::ClientKey, io::Direction};
use std::{fmt, net::IpAddr, sync::Arc};

/// Limits on bytes, which can be changed while a server runs. Clones share them, even across
/// servers.
///
/// Nothing is limited by default. A changed rate takes effect at the next read or write; a
/// connection that is already waiting notices within a second.
#[derive(Clone)]
pub struct BandwidthLimits {
    pub(super) shared: Arc<Shared>,
    prefixes: ClientKey,
}

impl BandwidthLimits {
    /// Creates limits that limit nothing yet.
    pub fn new() -> Self {
        BandwidthLimits {
            shared: Arc::new(Shared::new()),
            prefixes: ClientKey::default(),
        }
    }

    /// Limits each connection. By default connections are not limited.
    pub fn per_connection(self, rates: impl Into<Rates>) -> Self {
        self.set_per_connection(rates);
        self
    }

    /// Limits all connections of each client together. By default clients are not limited.
    ///
    /// A client is remembered after its connections have ended, until its whole burst is available
    /// again. So it gains nothing by reconnecting.
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Rate};
    /// use std::net::SocketAddr;
    /// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let limits = BandwidthLimits::new().per_client(Rate::new(10_000));
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener)
    ///     .layer(BandwidthLayer::new(limits))
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         conn.write_all(&[0; 28_000]).await
    ///     }))
    ///     .await?;
    ///
    /// let client: SocketAddr = "192.0.2.1:4000".parse()?;
    /// let mut one = clients.connect_from(client).await?;
    /// let mut two = clients.connect_from(client).await?;
    /// let (mut first, mut second) = (Vec::new(), Vec::new());
    /// let began = Instant::now();
    /// tokio::try_join!(one.read_to_end(&mut first), two.read_to_end(&mut second))?;
    /// // 56,000 bytes for one client, of which 1,000 are sent at once.
    /// assert_eq!(began.elapsed().as_millis() / 100, 55);
    /// # Ok(())
    /// # }
    /// ```
    pub fn per_client(self, rates: impl Into<Rates>) -> Self {
        self.set_per_client(rates);
        self
    }

    /// Limits all connections together. By default they are not limited.
    pub fn total(self, rates: impl Into<Rates>) -> Self {
        self.set_total(rates);
        self
    }

    /// Limits the total bytes of each connection. The default is [`Quota::NONE`].
    pub fn quota(self, quota: Quota) -> Self {
        self.set_quota(quota);
        self
    }

    /// Sets the number of leading bits of an address that identify a client. The default is 32 for
    /// IPv4 and 64 for IPv6, since an IPv6 client usually has a whole /64 (RFC 6177). Values above
    /// 32 and 128 mean the whole address.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Sets the maximum number of clients to remember, and forgets those remembered so far, for all
    /// clones. The minimum is 1. The default is 65,536, which bounds the table at about 14 MB.
    ///
    /// A client is forgotten once it has no connection and its whole burst is available again, and
    /// never earlier. If the table is full of other clients, all clients that are not in it share
    /// one rate, as if they were one client.
    pub fn capacity(self, clients: usize) -> Self {
        self.shared.set_capacity(clients);
        self
    }

    /// Sets whether the limits are only tried, for all clones. In a [`DryRun`], no connection waits
    /// or ends, and those that would have are reported: once for each direction with the reason
    /// [`READ_RATE`](super::READ_RATE) or [`WRITE_RATE`](super::WRITE_RATE), and once for the
    /// quota.
    ///
    /// The bytes of a read or write that would have waited are taken from no rate. An enforced rate
    /// slows its clients down and so changes what they do next. Therefore only the first connection
    /// that a rate spares is certain to be the first that would have waited.
    pub fn dry_run(self, dry_run: impl Into<DryRun>) -> Self {
        self.shared.set_dry_run(dry_run.into());
        self
    }

    /// Changes the rates of each connection. [`Rates::NONE`] lifts the limit.
    pub fn set_per_connection(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Connection, rates.into());
    }

    /// Changes the rates of each client. [`Rates::NONE`] lifts the limit.
    pub fn set_per_client(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Client, rates.into());
    }

    /// Changes the rates of all connections together. [`Rates::NONE`] lifts the limit.
    pub fn set_total(&self, rates: impl Into<Rates>) {
        self.shared.set(Scope::Total, rates.into());
    }

    /// Returns the rates of each connection.
    pub fn connection_rates(&self) -> Rates {
        self.rates(Scope::Connection)
    }

    /// Returns the rates of each client.
    pub fn client_rates(&self) -> Rates {
        self.rates(Scope::Client)
    }

    /// Returns the rates of all connections together.
    pub fn total_rates(&self) -> Rates {
        self.rates(Scope::Total)
    }

    fn rates(&self, scope: Scope) -> Rates {
        Rates {
            ways: Direction::BOTH.map(|direction| self.shared.rate(direction, scope)),
        }
    }

    /// Changes the quota of connections accepted from now on. Open connections keep theirs.
    pub fn set_quota(&self, quota: Quota) {
        self.shared.set_quota(quota);
    }

    /// Returns the number of clients remembered.
    pub fn clients(&self) -> usize {
        self.shared.clients()
    }

    pub(super) fn client(&self, ip: IpAddr) -> IpAddr {
        self.prefixes.of(ip)
    }
}

impl Default for BandwidthLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BandwidthLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = |scope| Direction::BOTH.map(|direction| self.shared.rate(direction, scope));
        f.debug_struct("BandwidthLimits")
            .field("per_connection", &rates(Scope::Connection))
            .field("per_client", &rates(Scope::Client))
            .field("total", &rates(Scope::Total))
            .field("quota", &self.shared.quota())
            .field("clients", &self.clients())
            .field("dry_run", &self.shared.dry_run().is_on())
            .finish_non_exhaustive()
    }
}
