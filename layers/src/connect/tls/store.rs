//! The configuration in use, and its replacement.

use super::source::Source;
use crate::tls::{
    TlsConfigError,
    contents::{Contents, settled},
    store::blocking,
};
use arc_swap::ArcSwap;
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::rustls::ClientConfig;

pub(super) struct Store {
    current: ArcSwap<ClientConfig>,
    /// `None` if the configuration was supplied by the user.
    source: Option<Arc<Source>>,
    /// Held while files are loaded.
    loading: Mutex<()>,
    /// The fingerprint of the files as they were last, valid or not.
    fingerprint: AtomicU64,
}

impl Store {
    pub(super) fn from_source(source: Source) -> Result<Self, TlsConfigError> {
        let contents = source.read();
        Ok(Store {
            current: ArcSwap::from_pointee(source.configure(&contents)?),
            fingerprint: AtomicU64::new(contents.fingerprint()),
            source: Some(Arc::new(source)),
            loading: Mutex::default(),
        })
    }

    pub(super) fn from_config(config: Arc<ClientConfig>) -> Self {
        Store {
            current: ArcSwap::new(config),
            source: None,
            loading: Mutex::default(),
            fingerprint: AtomicU64::default(),
        }
    }

    pub(super) fn current(&self) -> Arc<ClientConfig> {
        self.current.load_full()
    }

    /// Loads the files. With `only_changed`, only if they differ from those that were loaded last.
    pub(super) async fn reload(
        &self,
        only_changed: bool,
    ) -> Option<Result<(), Arc<TlsConfigError>>> {
        let source = self.source.as_ref()?;
        let _loading = self.loading.lock().await;
        let contents = read(source).await;
        if only_changed && contents.fingerprint() == self.fingerprint.load(Ordering::Relaxed) {
            return None;
        }
        let contents = settled(contents, || read(source)).await;
        let (fingerprint, configuring) = (contents.fingerprint(), source.clone());
        let configured = blocking(move || configuring.configure(&contents)).await;
        self.fingerprint.store(fingerprint, Ordering::Relaxed);
        Some(
            configured
                .map(|config| self.current.store(Arc::new(config)))
                .map_err(Arc::new),
        )
    }
}

/// Reloads the files when they have changed, until the store is gone.
pub(super) async fn watch(
    store: Weak<Store>,
    every: Duration,
    on_reload: impl Fn(&Result<(), Arc<TlsConfigError>>) + Send,
) {
    let mut looks = interval(every.max(Duration::from_millis(1)));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(store) = store.upgrade().filter(|store| store.source.is_some()) else {
            return;
        };
        if let Some(result) = store.reload(true).await {
            on_reload(&result);
        }
    }
}

async fn read(source: &Arc<Source>) -> Contents {
    let source = source.clone();
    blocking(move || source.read()).await
}

/// Nothing of a configuration is shown, since it contains a key.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
