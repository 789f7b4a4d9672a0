//! A limit that is moved by samples.

use super::{Algorithm, SampleLayer, UpgradeSamples, Window, window::Samples};
use reagent::Limit;
use std::{
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A window is over after this time, once it has as many samples.
const WINDOW: Duration = Duration::from_secs(1);
const ENOUGH: usize = 10;

/// The default range. Netflix's limits start at 20 too.
const RANGE: RangeInclusive<usize> = 20..=10_000;

/// Moves a [`Limit`] by how long something takes: a request, or a step of the opening such as a TLS
/// handshake. Clones share it.
///
/// The limit may be that of a server, to adapt
/// [`max_connections`](reagent::Server::max_connections), or that of an `InFlightLayer`. Report
/// samples by [`layer`](Self::layer), [`upgrades`](Self::upgrades) or [`sample`](Self::sample). The
/// life of a connection does not depend on load, so it is no sample.
///
/// Once a second, if there are 10 samples or more, an [`Algorithm`] computes the next limit from
/// their median, so a few slow clients do not move it. The limit stays as it is while more permits
/// are in use than it allows, because it was lowered and connections have yet to end, and it does
/// not grow while less than half of it was in use.
///
/// # Example
///
/// ```
/// use reagent::{Limit, Server, testing::MemoryListener};
/// use reagent_layers::{
///     framed::{FramedLayer, codec::LinesCodec},
///     pressure::{Adaptive, Gradient},
/// };
/// use tower::{Layer, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let limit = Limit::new(100);
/// let adaptive = Adaptive::new(limit.clone(), Gradient::new()).range(20..=5_000);
/// let echo = service_fn(async |line: String| Ok::<_, reagent::BoxError>(line));
/// let (listener, _clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .limit(limit)
///     .layer(FramedLayer::<_, String>::new(LinesCodec::new()))
///     // Inside of the framed layer, it measures requests.
///     .start(adaptive.layer().layer(echo))
///     .await?;
/// assert_eq!(server.stats().max_connections, Some(100));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Adaptive {
    limit: Limit,
    range: RangeInclusive<usize>,
    state: Arc<Mutex<State>>,
}

struct State {
    algorithm: Box<dyn Algorithm>,
    samples: Samples,
    in_use: usize,
    began: Instant,
    /// The limit, with the fractions that earlier steps have left.
    estimate: f64,
}

impl Adaptive {
    /// Creates a limit that moves between 20 and 10,000, from where it is now.
    pub fn new(limit: Limit, algorithm: impl Algorithm) -> Self {
        let state = State {
            algorithm: Box::new(algorithm),
            samples: Samples::new(),
            in_use: 0,
            began: Instant::now(),
            estimate: limit.max() as f64,
        };
        let adaptive = Adaptive {
            limit,
            range: RANGE,
            state: Arc::new(Mutex::new(state)),
        };
        adaptive.keep_in_range();
        adaptive
    }

    /// Sets the bounds of the limit. The default is 20 to 10,000. Call it before the first clone.
    ///
    /// Keep the lower bound high enough to serve clients that are slow for reasons of their own,
    /// and the upper bound within what there are descriptors and memory for.
    ///
    /// # Panics
    ///
    /// Panics if the range is empty.
    pub fn range(mut self, range: RangeInclusive<usize>) -> Self {
        assert!(!range.is_empty(), "the range must not be empty");
        self.range = range;
        self.keep_in_range();
        self
    }

    /// Reports how long something took.
    ///
    /// It never waits: a sample that comes while another thread reports one is lost.
    pub fn sample(&self, took: Duration) {
        let Ok(mut state) = self.state.try_lock() else {
            return;
        };
        if !state.samples.add(took) {
            return;
        }
        state.in_use = state.in_use.max(self.limit.taken());
        let is_over = state.began.elapsed() >= WINDOW && state.samples.len() >= ENOUGH;
        if is_over {
            self.end_window(&mut state);
        }
    }

    /// Returns a layer that reports how long requests take until they are answered. It goes around
    /// any service: of HTTP requests, or of frames.
    pub fn layer(&self) -> SampleLayer {
        SampleLayer::new(self.clone())
    }

    /// Returns an observer that reports how long an [upgrade](reagent::Upgrade) takes, such as
    /// `tls handshake`.
    ///
    /// That includes the time in which the client is waited for, so it adapts to load only if most
    /// clients are quick.
    pub fn upgrades(&self, name: &'static str) -> UpgradeSamples {
        UpgradeSamples::new(self.clone(), name)
    }

    /// Returns the current limit.
    pub fn limit(&self) -> usize {
        self.limit.max()
    }

    fn end_window(&self, state: &mut State) {
        state.began = Instant::now();
        let in_use = std::mem::take(&mut state.in_use);
        let took = state.samples.take_median();
        let max = self.limit.max();
        // Somebody else may have set it.
        if max != whole(state.estimate) {
            state.estimate = self.clamp(max as f64);
        }
        // Connections have yet to end since it was lowered.
        if self.limit.taken() > max {
            return;
        }
        let window = Window {
            limit: state.estimate,
            in_use,
            took,
        };
        let mut next = state.algorithm.next(&window);
        if next.is_nan() || next > state.estimate && in_use < max / 2 {
            next = state.estimate;
        }
        self.set(state, next);
    }

    fn keep_in_range(&self) {
        let mut state = self.state();
        let estimate = state.estimate;
        self.set(&mut state, estimate);
    }

    fn set(&self, state: &mut State, estimate: f64) {
        state.estimate = self.clamp(estimate);
        let max = whole(state.estimate);
        if max != self.limit.max() {
            self.limit.set_max(max);
        }
    }

    fn clamp(&self, estimate: f64) -> f64 {
        estimate.clamp(*self.range.start() as f64, *self.range.end() as f64)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole(estimate: f64) -> usize {
    estimate.round() as usize
}

impl fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adaptive")
            .field("limit", &self.limit)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
