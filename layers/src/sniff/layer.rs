//! The layer and its settings.

use super::{Detector, Sniff};
use reagent::{UpgradeLayer, UpgradeService};
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// As the PROXY protocol's: enough for a segment that is sent twice. HAProxy's documentation has 5 s too wherever it
/// waits for a ClientHello (`tcp-request inspect-delay`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The kind of [`TimedOut`](reagent::TimedOut) where a client has not said enough in time, and the name of the upgrade.
pub const TIMEOUT: &str = "sniff";

/// The treatment of a client that has not sent enough at the time limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undecided {
    /// Its connection is ended.
    #[default]
    End,
    /// It is handed on as [`Protocol::Unknown`](super::Protocol::Unknown), with the bytes that came: to a server
    /// that speaks first.
    Unknown,
}

/// A layer that looks at the first bytes of a connection and leaves what they are as a
/// [`Sniffed`](super::Sniffed) in its extensions. Who reads from the connection then reads those bytes first.
///
/// It reads until it knows, and no more than 16 KiB, or [`max_len`](Self::max_len). For that a connection has
/// 5 seconds, or [`timeout`](Self::timeout). While a client is silent there is no buffer.
#[derive(Clone, Debug, Default)]
pub struct SniffLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) detector: Detector,
    pub(super) timeout: Option<Duration>,
    pub(super) undecided: Undecided,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            detector: Detector::default(),
            timeout: Some(DEFAULT_TIMEOUT),
            undecided: Undecided::default(),
        }
    }
}

impl SniffLayer {
    /// A layer that knows the [protocols](super::Protocol) that have a name.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Looks for these bytes too, before all else; see [`Detector::prefix`].
    pub fn prefix(self, name: impl Into<Arc<str>>, bytes: impl AsRef<[u8]>) -> Self {
        self.change(|config| {
            config.detector = std::mem::take(&mut config.detector).prefix(name, bytes);
        })
    }

    /// Sets how many bytes are looked at; see [`Detector::max_len`]. Default 16 KiB.
    pub fn max_len(self, max_len: usize) -> Self {
        self.change(|config| {
            config.detector = std::mem::take(&mut config.detector).max_len(max_len);
        })
    }

    /// Sets how long it may take until it is known what a client speaks; `None` is as long as it likes. Default
    /// 5 s.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.timeout = limit.into())
    }

    /// Sets what becomes of a client of which it is not known then. Default [`Undecided::End`].
    pub fn undecided(self, undecided: Undecided) -> Self {
        self.change(|config| config.undecided = undecided)
    }
}

impl<S> Layer<S> for SniffLayer {
    type Service = UpgradeService<Sniff, S>;

    fn layer(&self, inner: S) -> Self::Service {
        // The limit is kept by the upgrade itself, which may go on after it.
        UpgradeLayer::new(Sniff(self.config.clone()))
            .timeout(None)
            .layer(inner)
    }
}
