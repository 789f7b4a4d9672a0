//! New certificates for a server that runs.

use super::{TlsConfigError, store::Store};
use std::{fmt, panic::resume_unwind, sync::Arc, time::Duration};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::rustls::ServerConfig;

/// Exchanges the certificates of a [`TlsLayer`](super::TlsLayer) for those that are in its files now;
/// cheap to clone.
///
/// It is all or nothing: handshakes that begin afterwards see all of the new files, and if anything is
/// wrong with one of them, all of the old. Open connections go on as they are. Clients can go on resuming
/// their sessions, unless the authorities for client certificates are others: who was admitted on the word
/// of an old one has to show a certificate again.
#[derive(Clone)]
pub struct TlsReloader {
    store: Arc<Store>,
    told: Option<Told>,
}

type Told = Arc<dyn Fn(&Result<(), TlsConfigError>) + Send + Sync>;

impl TlsReloader {
    pub(super) fn new(store: Arc<Store>) -> Self {
        TlsReloader { store, told: None }
    }

    /// Has every result told to `told` too: that of [`reload`](Self::reload), and that of each change that
    /// [`watch`](Self::watch) sees. It holds for this handle and those that are cloned of it.
    pub fn on_reload(
        mut self,
        told: impl Fn(&Result<(), TlsConfigError>) + Send + Sync + 'static,
    ) -> Self {
        self.told = Some(Arc::new(told));
        self
    }

    /// Loads the files now. It reads them where it is called, which blocks for as long as that takes.
    ///
    /// On an error everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let result = self.store.reload();
        tell(&self.told, &result);
        result
    }

    /// Exchanges the whole configuration. A layer that has files goes back to them at the next
    /// [`reload`](Self::reload).
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.store.replace(config);
    }

    /// Looks at the files at once and then `every` so often, and loads them when what is in them has
    /// changed; to be spawned, or dropped to stop.
    ///
    /// Each change is tried once, and its result told to [`on_reload`](Self::on_reload). Who replaces a
    /// certificate and its key one after the other may be told in between that they do not match; the old
    /// ones serve until they do.
    ///
    /// It ends when the layer, the servers that it is part of and the other reloaders are gone, and at once
    /// if the layer was not made of files.
    pub async fn watch(self, every: Duration) {
        let TlsReloader { store, told } = self;
        if !store.has_files() {
            return;
        }
        let weak = Arc::downgrade(&store);
        drop(store);
        let mut looks = interval(every.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(store) = weak.upgrade() else { return };
            match spawn_blocking(move || store.reload_if_changed()).await {
                Ok(Some(result)) => tell(&told, &result),
                Ok(None) => {}
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime ends.
                Err(_) => return,
            }
        }
    }
}

fn tell(told: &Option<Told>, result: &Result<(), TlsConfigError>) {
    if let Some(told) = told {
        told(result);
    }
}

impl fmt::Debug for TlsReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReloader")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
