//! The layer that limits the handlers in flight, and its settings.

use super::InFlight;
use crate::{DryRun, Refusal};
use reagent::limit::Limit;
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) connection above the limit on handlers.
pub const IN_FLIGHT: &str = "in flight";

/// A layer that limits how many handlers run at once, by a [`Limit`] that can be shared and
/// changed.
///
/// It leaves clients above the limit in the kernel's queue by not being ready, or refuses them if
/// [`shed`](Self::shed) is set.
///
/// It resembles [`tower::limit::ConcurrencyLimitLayer`], whose limit is fixed. A handler that gives
/// its stream away and returns no longer counts, whereas
/// [`max_connections`](reagent::Server::max_connections) counts a connection until its stream is
/// closed.
///
/// ```
/// use reagent::{Connection, Limit, Server, testing::MemoryListener};
/// use reagent_layers::{Refusal, limit::InFlightLayer};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let limit = Limit::new(1);
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(InFlightLayer::new(limit.clone()).shed(Refusal::message("busy\n")))
///     .start(reagent::handle(|mut conn: Connection| async move {
///         conn.write_all(b"hello\n").await?;
///         conn.read_u8().await.map(drop) // runs until the client sends a byte
///     }))
///     .await?;
///
/// let mut first = clients.connect().await?;
/// let mut greeting = [0; 6];
/// first.read_exact(&mut greeting).await?;
/// assert_eq!((&greeting, limit.taken()), (b"hello\n", 1));
///
/// let mut answer = [0; 5];
/// clients.connect().await?.read_exact(&mut answer).await?;
/// assert_eq!(&answer, b"busy\n");
///
/// limit.set_max(2);
/// let mut second = clients.connect().await?;
/// second.read_exact(&mut greeting).await?;
/// assert_eq!((&greeting, limit.taken()), (b"hello\n", 2));
/// # Ok(())
/// # }
/// ```
///
/// [`tower::limit::ConcurrencyLimitLayer`]: https://docs.rs/tower/latest/tower/limit/struct.ConcurrencyLimitLayer.html
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct InFlightLayer {
    pub(super) limit: Limit,
    pub(super) shed: Option<Refusal>,
    pub(super) dry_run: DryRun,
}

impl InFlightLayer {
    /// Creates a layer that leaves clients above the limit in the kernel's queue.
    pub fn new(limit: Limit) -> Self {
        InFlightLayer {
            limit,
            shed: None,
            dry_run: DryRun::default(),
        }
    }

    /// Refuses clients above the limit, instead of leaving them in the kernel's queue. By default
    /// none are refused.
    pub fn shed(mut self, refusal: Refusal) -> Self {
        self.shed = Some(refusal);
        self
    }

    /// Sets whether the limit is only tried. In a [`DryRun`], all connections are accepted at once,
    /// and those that would have been refused or left in the queue are reported.
    ///
    /// A connection that is spared takes no place. Without [`shed`](Self::shed), an enforced limit
    /// would let it wait for one, so from the first spared connection on, those that are spared may
    /// differ from those that would have waited.
    ///
    /// If the dry run is turned on while an acceptor waits, that acceptor waits until a handler has
    /// ended.
    pub fn dry_run(mut self, dry_run: impl Into<DryRun>) -> Self {
        self.dry_run = dry_run.into();
        self
    }

    /// Returns whether clients above the limit wait in the kernel's queue.
    pub(super) fn waits(&self) -> bool {
        self.shed.is_none() && !self.dry_run.is_on()
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlight<S>;

    fn layer(&self, inner: S) -> InFlight<S> {
        InFlight::new(inner, self.clone())
    }
}
