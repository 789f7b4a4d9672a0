//! The layer of an upgrade and its settings.

use super::UpgradeService;
use std::{fmt, sync::Arc, time::Duration};
use tower_layer::Layer;

/// An upgrade has this long unless it is told otherwise: as long as a handshake in tls-listener. nginx's stream
/// module allows 60 s (`ssl_handshake_timeout`), which is long for a client that only has to answer.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The layer of an [`Upgrade`](crate::Upgrade), which its clones share.
///
/// When the server drains, an upgrade whose client has sent nothing since it began is given half a
/// second more, and then ends with [`Outcome::Drained`](crate::Outcome::Drained): a silent client does
/// not hold up a drain. An upgrade that has begun keeps its own limit.
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct UpgradeLayer<U> {
    pub(super) upgrade: Arc<U>,
    pub(super) timeout: Option<Duration>,
}

impl<U> UpgradeLayer<U> {
    /// A layer that gives each connection 10 seconds for its upgrade.
    pub fn new(upgrade: U) -> Self {
        UpgradeLayer {
            upgrade: Arc::new(upgrade),
            timeout: Some(DEFAULT_TIMEOUT),
        }
    }

    /// Sets how long an upgrade may take; `None` is as long as the client likes. All upgrades of a
    /// connection together are bounded by [`Server::opening_timeout`](crate::Server::opening_timeout).
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.timeout = limit.into();
        self
    }
}

impl<U> Clone for UpgradeLayer<U> {
    fn clone(&self) -> Self {
        UpgradeLayer {
            upgrade: self.upgrade.clone(),
            timeout: self.timeout,
        }
    }
}

impl<U> fmt::Debug for UpgradeLayer<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeLayer")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<U, S> Layer<S> for UpgradeLayer<U> {
    type Service = UpgradeService<U, S>;

    fn layer(&self, inner: S) -> Self::Service {
        UpgradeService::new(self.clone(), inner)
    }
}
