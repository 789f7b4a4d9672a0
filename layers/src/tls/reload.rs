//! New certificates for a server that runs.

use super::{ServedCertificate, TlsConfigError, store::Store};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::ServerConfig;

/// Exchanges the certificates of a [`TlsLayer`](super::TlsLayer) for those that are in its files now;
/// cheap to clone.
///
/// It is all or nothing: handshakes that begin afterwards see all of the new files, and if anything is
/// wrong with one of them, all of the old. Open connections go on as they are, also those whose
/// certificate is from an authority that is trusted no more. Clients can go on resuming their sessions.
#[derive(Clone)]
pub struct TlsReloader {
    store: Arc<Store>,
    on_reload: Option<OnReload>,
}

type OnReload = Arc<dyn Fn(&Result<(), Arc<TlsConfigError>>) + Send + Sync>;

/// The last attempt to load the files.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LastReload {
    /// When it ended.
    pub at: SystemTime,
    /// How it ended.
    pub result: Result<(), Arc<TlsConfigError>>,
}

impl TlsReloader {
    pub(super) fn new(store: Arc<Store>) -> Self {
        TlsReloader {
            store,
            on_reload: None,
        }
    }

    /// Calls `on_reload` with every result: that of [`reload`](Self::reload), and that of each change that
    /// [`watch`](Self::watch) sees. It holds for this handle and those that are cloned from it.
    pub fn on_reload(
        mut self,
        on_reload: impl Fn(&Result<(), Arc<TlsConfigError>>) + Send + Sync + 'static,
    ) -> Self {
        self.on_reload = Some(Arc::new(on_reload));
        self
    }

    /// Loads the files, once two looks at them, 50 ms apart, find the same: a chain that is being written
    /// is not taken. They are read on Tokio's threads for blocking work.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the files. Everything stays as it was then.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the files are loaded, or everything stays as it was.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub async fn reload(&self) -> Result<(), Arc<TlsConfigError>> {
        let result = self.store.reload(false).await.unwrap_or(Ok(()));
        self.tell(&result);
        result
    }

    /// Exchanges the whole configuration. A layer that has files goes back to them at the next
    /// [`reload`](Self::reload).
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.store.replace(config);
    }

    /// Returns the certificates that are served, in the order of the configuration; none where the
    /// configuration was not made of files.
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        let current = self.store.current();
        let certificates = current.certificates.as_ref();
        certificates.map_or_else(Vec::new, |certificates| certificates.served().to_vec())
    }

    /// Returns when the files were last loaded, after the layer was built, and with which result.
    pub fn last_reload(&self) -> Option<LastReload> {
        self.store.last_reload()
    }

    /// Looks at the files at once and then `every` so often, and loads them when what is in them has
    /// changed; to be spawned, or dropped to stop.
    ///
    /// Each change is tried once, and its result given to [`on_reload`](Self::on_reload). If a
    /// certificate and its key are replaced one after the other, a result in between may be that they do not
    /// match; the old ones serve until they do.
    ///
    /// It ends when the layer, the servers that it is part of and the other reloaders are gone, and at once
    /// if the layer was not made of files.
    pub async fn watch(self, every: Duration) {
        let TlsReloader { store, on_reload } = self;
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
            if let (Some(result), Some(on_reload)) = (store.reload(true).await, &on_reload) {
                on_reload(&result);
            }
        }
    }

    fn tell(&self, result: &Result<(), Arc<TlsConfigError>>) {
        if let Some(on_reload) = &self.on_reload {
            on_reload(result);
        }
    }
}

impl fmt::Debug for TlsReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReloader")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
