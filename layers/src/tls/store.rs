//! The configuration in use, and its replacement.

use super::{
    TicketKeys, TlsConfigError,
    admitted::{Admitted, CLIENT_CERTIFICATE, Client},
    contents::{Contents, settled},
    reload::LastReload,
    source::{Current, Source},
};
use crate::{Apply, open_connections::Registered};
use arc_swap::ArcSwap;
use reagent::{ConnectionHandle, Rejected};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio::{sync, task::spawn_blocking};
use tokio_rustls::rustls::ServerConfig;

/// The state that a layer shares with its services and reloaders.
pub(super) struct Store {
    current: ArcSwap<Current>,
    source: Option<Arc<Source>>,
    /// Held while files are loaded, so that the last task to load is also the last to have read.
    loading: sync::Mutex<()>,
    /// Never locked while files are read.
    loaded: Mutex<Loaded>,
    /// The open connections, if new authorities apply to them.
    pub(super) admitted: Option<Arc<Admitted>>,
}

#[derive(Default)]
struct Loaded {
    /// The fingerprint of the files as they were last, valid or not.
    fingerprint: u64,
    /// The number of times that the configuration was replaced. Files that were read before that
    /// are outdated.
    replaced: u64,
    last: Option<LastReload>,
}

impl Store {
    pub(super) fn from_source(source: Source) -> Result<Self, TlsConfigError> {
        let mut loaded = Loaded::default();
        let contents = source.read();
        loaded.fingerprint = contents.fingerprint();
        let current = source.configure(&contents)?;
        let is_watched = source.apply == Apply::Existing && source.clients.is_some();
        Ok(Store {
            admitted: is_watched.then(Admitted::new),
            current: ArcSwap::from_pointee(current),
            source: Some(Arc::new(source)),
            loading: sync::Mutex::default(),
            loaded: Mutex::new(loaded),
        })
    }

    pub(super) fn from_config(config: Arc<ServerConfig>) -> Self {
        Store {
            admitted: None,
            current: ArcSwap::from_pointee(Current {
                config,
                certificates: None,
                verifier: None,
            }),
            source: None,
            loading: sync::Mutex::default(),
            loaded: Mutex::default(),
        }
    }

    /// Admits a client whose certificate was verified by `then`, and registers its connection if
    /// changes apply to it. Fails if the client is no longer admitted.
    pub(super) fn admit(
        &self,
        connection: &ConnectionHandle,
        client: &Client,
        then: Option<Arc<Current>>,
    ) -> Result<Option<Registered<(), Client>>, Rejected> {
        let (Some(admitted), Some(then)) = (&self.admitted, then) else {
            client.check_identity()?;
            return Ok(None);
        };
        // Registered first and checked afterwards, so that no change is missed.
        let registered = admitted.register((), connection.clone(), client.clone());
        let now = self.current();
        if !Arc::ptr_eq(&now, &then) && !now.admits(client.info.peer_certificates()) {
            return Err(Rejected::new(CLIENT_CERTIFICATE));
        }
        client.check_identity()?;
        Ok(Some(registered))
    }

    /// Ends the open connections whose clients are no longer admitted, if changes apply to them.
    pub(super) async fn recheck(&self) {
        if let Some(admitted) = &self.admitted {
            let (current, admitted) = (self.current(), admitted.clone());
            blocking(move || current.recheck(&admitted)).await;
        }
    }

    pub(super) fn has_files(&self) -> bool {
        self.source.is_some()
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    pub(super) fn ticket_keys(&self) -> Option<TicketKeys> {
        let source = self.source.as_ref()?;
        Some(source.ticket_keys.clone())
    }

    pub(super) fn last_reload(&self) -> Option<LastReload> {
        self.loaded().last.clone()
    }

    pub(super) fn replace(&self, config: Arc<ServerConfig>) {
        let mut loaded = self.loaded();
        loaded.replaced += 1;
        self.current.store(Arc::new(Current {
            config,
            certificates: None,
            verifier: None,
        }));
    }

    pub(super) fn replace_with(&self, other: &Store) {
        {
            let mut loaded = self.loaded();
            loaded.replaced += 1;
            self.current.store(other.current());
        }
        if let Some(admitted) = &self.admitted {
            self.current().recheck(admitted);
        }
    }

    /// Loads the files. With `only_changed`, only if they differ from those that were loaded last.
    pub(super) async fn reload(
        &self,
        only_changed: bool,
    ) -> Option<Result<(), Arc<TlsConfigError>>> {
        let Some(source) = &self.source else {
            return Some(Err(Arc::new(TlsConfigError::NoFiles)));
        };
        let _loading = self.loading.lock().await;
        let replaced = self.loaded().replaced;
        let contents = read(source).await;
        if only_changed && contents.fingerprint() == self.loaded().fingerprint {
            return None;
        }
        let contents = settled(contents, || read(source)).await;
        let (fingerprint, configuring) = (contents.fingerprint(), source.clone());
        let configured = blocking(move || configuring.configure(&contents)).await;
        let result = self.load(configured, fingerprint, replaced);
        if result.is_ok() {
            self.recheck().await;
        }
        Some(result)
    }

    /// Uses what was made of the files, unless the configuration was replaced meanwhile.
    fn load(
        &self,
        configured: Result<Current, TlsConfigError>,
        fingerprint: u64,
        replaced: u64,
    ) -> Result<(), Arc<TlsConfigError>> {
        let mut loaded = self.loaded();
        loaded.fingerprint = fingerprint;
        let result = configured.map_err(Arc::new).map(|current| {
            if loaded.replaced == replaced {
                self.current.store(Arc::new(current));
            }
        });
        loaded.last = Some(LastReload {
            at: SystemTime::now(),
            result: result.clone(),
        });
        result
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(source: &Arc<Source>) -> Contents {
    let source = source.clone();
    blocking(move || source.read()).await
}

/// Reads and parses on a thread where no connection waits for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

/// Nothing of a configuration is shown, since it may contain a key.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
