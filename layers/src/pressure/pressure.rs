//! The handle to the pressure of a server.

use super::{
    Builder, PressureLayer,
    level::{Level, Reading},
    sampler::Sampler,
};
use reagent::ServerHandle;
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The pressure of a server: a number from 0 to 1, the worst of its [sources](super::Source).
/// Clones share it.
///
/// It is made by a [`Builder`], and sampled once it is [attached](Self::attach) to a server. The
/// [module](super) describes the actions that follow.
#[derive(Clone)]
pub struct Pressure {
    pub(super) shared: Arc<Shared>,
    level: watch::Receiver<Level>,
}

pub(super) struct Shared {
    level: watch::Sender<Level>,
    /// The level as a number that is read for each client: the bits of `Level::all.held` and of
    /// `Level::pausing.held`.
    all: AtomicU64,
    pausing: AtomicU64,
    pub(super) counts: Counts,
    /// Everything else, until it is attached.
    setup: Mutex<Option<Builder>>,
}

/// The actions so far.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) asked: AtomicU64,
    pub(super) aborted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) is_unready: AtomicBool,
    /// In milliseconds; `u64::MAX` for none.
    pub(super) idle_limit: AtomicU64,
}

/// The readings of a [`Pressure`], and its actions so far.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PressureStats {
    /// The pressure of each source.
    pub readings: Vec<Reading>,
    /// The current idle limit, or `None` while it is not lowered.
    pub idle_limit: Option<Duration>,
    /// Whether the readiness of the server is held back.
    pub is_unready: bool,
    /// The number of idle connections that were asked to finish.
    pub asked: u64,
    /// The number of those that did not answer and were aborted.
    pub aborted: u64,
    /// The number of clients that layers have refused.
    pub refused: u64,
}

impl Pressure {
    /// Returns a builder without sources, with the default [actions](super::Actions).
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn new(setup: Builder) -> Self {
        let (level, receiver) = watch::channel(Level::default());
        let shared = Shared {
            level,
            all: AtomicU64::default(),
            pausing: AtomicU64::default(),
            counts: Counts::default(),
            setup: Mutex::new(Some(setup)),
        };
        shared.counts.idle_limit.store(u64::MAX, Relaxed);
        Pressure {
            shared: Arc::new(shared),
            level: receiver,
        }
    }

    /// Begins to sample the sources, and to act on `server`. It ends when the server drains or
    /// stops; the pressure is 0 from then on.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime, and if it was attached before. It is sampled for as long
    /// as that runtime runs.
    pub fn attach(&self, server: &ServerHandle) {
        let setup = self
            .shared
            .setup
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(setup) = setup else {
            panic!("the pressure is attached to a server already");
        };
        let sampler = Sampler::new(self.shared.clone(), server.clone(), setup);
        #[expect(
            clippy::disallowed_methods,
            reason = "the task ends with the server that it serves"
        )]
        drop(tokio::spawn(sampler.run()));
    }

    /// Returns the pressure, as of the last sample.
    pub fn value(&self) -> f64 {
        self.level.borrow().all.now
    }

    /// Waits until the pressure of some source has changed since this was called last, and returns
    /// the pressure.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a change is not lost, and the next call returns at once.
    pub async fn changed(&mut self) -> f64 {
        // The sender is in `shared`, so it is there.
        let _ = self.level.changed().await;
        self.level.borrow_and_update().all.now
    }

    /// Returns the readings of the last sample, and the actions so far.
    pub fn stats(&self) -> PressureStats {
        let counts = &self.shared.counts;
        let limit = counts.idle_limit.load(Relaxed);
        PressureStats {
            readings: self.level.borrow().readings.clone(),
            idle_limit: (limit < u64::MAX).then(|| Duration::from_millis(limit)),
            is_unready: counts.is_unready.load(Relaxed),
            asked: counts.asked.load(Relaxed),
            aborted: counts.aborted.load(Relaxed),
            refused: counts.refused.load(Relaxed),
        }
    }

    /// Returns a layer that holds clients back, and refuses them if told so, under pressure.
    pub fn layer(&self) -> PressureLayer {
        PressureLayer::new(self.clone())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Level> {
        self.shared.level.subscribe()
    }
}

impl Shared {
    pub(super) fn publish(&self, level: &Level) {
        self.all.store(level.all.held.to_bits(), Relaxed);
        self.pausing.store(level.pausing.held.to_bits(), Relaxed);
        self.level.send_if_modified(|known| {
            let has_changed = known != level;
            if has_changed {
                known.clone_from(level);
            }
            has_changed
        });
    }

    /// Returns the worst of all sources, with hysteresis.
    pub(super) fn all(&self) -> f64 {
        f64::from_bits(self.all.load(Relaxed))
    }

    /// Returns the worst of the sources that a pause relieves, with hysteresis.
    pub(super) fn pausing(&self) -> f64 {
        f64::from_bits(self.pausing.load(Relaxed))
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressure")
            .field("value", &self.value())
            .field("stats", &self.stats())
            .finish()
    }
}
