//! The layer that limits the accept rate, and its settings.

use super::AcceptRateService;
use crate::{
    DryRun, Refusal,
    client::bucket::{Bucket, Rate},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) connection above the accept rate.
pub const ACCEPT_RATE: &str = "accept rate";

/// A limit on the connections per second of all clients together. Clones share it, even across
/// servers.
#[derive(Clone, Debug)]
pub struct AcceptRate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rate: Rate,
    bucket: Bucket,
}

impl AcceptRate {
    /// Creates a rate of `per_second` connections per second, and up to `burst` at once after a
    /// pause.
    ///
    /// A `burst` below 1 counts as 1. With a rate of 0, the burst is admitted and nothing after
    /// that.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let rate = Rate::new(per_second, burst);
        let bucket = Bucket::full(rate, Instant::now());
        AcceptRate(Arc::new(Mutex::new(State { rate, bucket })))
    }

    /// Returns the number of connections per second of all clients together.
    pub fn per_second(&self) -> f64 {
        self.with(|state| state.rate.per_second())
    }

    /// Changes the rate and the burst; see [`new`](Self::new). An acceptor that is already waiting
    /// notices within a second.
    pub fn set(&self, per_second: f64, burst: f64) {
        self.with(|state| state.rate = Rate::new(per_second, burst));
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a token, or returns the time until there is one; `None` means never.
    pub(super) fn take(&self) -> Result<(), Option<Duration>> {
        self.with(|state| state.bucket.take(state.rate, Instant::now()))
    }

    /// Gives back a token that was taken for a client that did not come.
    pub(super) fn give_back(&self) {
        self.with(|state| state.bucket.give_back(1.0));
    }
}

/// A layer that limits the connections accepted per second.
///
/// It leaves clients above the rate in the kernel's queue by not being ready, or refuses them if
/// [`shed`](Self::shed) is set.
///
/// ```
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::{Refusal, limit::{AcceptRate, AcceptRateLayer}};
/// use std::time::Duration;
/// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let rate = AcceptRate::new(0.5, 1.0); // one connection every two seconds
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(AcceptRateLayer::new(rate))
///     .start(reagent::handle(|mut conn: Connection| async move { conn.write_u8(1).await }))
///     .await?;
///
/// let began = Instant::now();
/// clients.connect().await?.read_u8().await?;
/// clients.connect().await?.read_u8().await?; // waits in the queue
/// assert_eq!(began.elapsed().as_secs(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct AcceptRateLayer {
    pub(super) rate: AcceptRate,
    pub(super) shed: Option<Refusal>,
    pub(super) dry_run: DryRun,
}

impl AcceptRateLayer {
    /// Creates a layer that leaves clients above the rate in the kernel's queue.
    pub fn new(rate: AcceptRate) -> Self {
        AcceptRateLayer {
            rate,
            shed: None,
            dry_run: DryRun::default(),
        }
    }

    /// Refuses clients above the rate, instead of leaving them in the kernel's queue. By default
    /// none are refused.
    pub fn shed(mut self, refusal: Refusal) -> Self {
        self.shed = Some(refusal);
        self
    }

    /// Sets whether the limit is only tried. In a [`DryRun`], all connections are accepted at once,
    /// and those that would have been refused or left in the queue are reported.
    ///
    /// A connection that is spared takes no token. Without [`shed`](Self::shed), an enforced limit
    /// would let it wait for one, so from the first spared connection on, those that are spared may
    /// differ from those that would have waited.
    pub fn dry_run(mut self, dry_run: impl Into<DryRun>) -> Self {
        self.dry_run = dry_run.into();
        self
    }

    /// Returns whether clients above the limit wait in the kernel's queue.
    pub(super) fn waits(&self) -> bool {
        self.shed.is_none() && !self.dry_run.is_on()
    }
}

impl<S> Layer<S> for AcceptRateLayer {
    type Service = AcceptRateService<S>;

    fn layer(&self, inner: S) -> AcceptRateService<S> {
        AcceptRateService::new(inner, self.clone())
    }
}
