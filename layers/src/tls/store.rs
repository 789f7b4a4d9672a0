//! The configuration in use, and how it is exchanged.

use super::{
    TlsConfigError,
    pem::Contents,
    source::{Current, Sessions, Source},
};
use arc_swap::ArcSwap;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_rustls::rustls::ServerConfig;

/// Shared by a layer, its services and its reloaders.
pub(super) struct Store {
    current: ArcSwap<Current>,
    source: Option<Source>,
    /// Locked while files are loaded, so that the last to load is the last to have read.
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    /// Of the files as they were last, good or bad.
    fingerprint: u64,
    sessions: Option<Sessions>,
}

impl Loaded {
    fn load(&mut self, source: &Source, contents: &Contents) -> Result<Current, TlsConfigError> {
        self.fingerprint = contents.fingerprint();
        source.configure(contents, &mut self.sessions)
    }
}

impl Store {
    pub(super) fn from_source(source: Source) -> Result<Self, TlsConfigError> {
        let mut loaded = Loaded::default();
        let current = loaded.load(&source, &source.read())?;
        Ok(Store {
            current: ArcSwap::from_pointee(current),
            source: Some(source),
            loaded: Mutex::new(loaded),
        })
    }

    pub(super) fn from_config(config: Arc<ServerConfig>) -> Self {
        Store {
            current: ArcSwap::from_pointee(Current {
                config,
                certificates: None,
            }),
            source: None,
            loaded: Mutex::default(),
        }
    }

    pub(super) fn has_files(&self) -> bool {
        self.source.is_some()
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    pub(super) fn replace(&self, config: Arc<ServerConfig>) {
        let _loading = self.loaded();
        self.current.store(Arc::new(Current {
            config,
            certificates: None,
        }));
    }

    pub(super) fn reload(&self) -> Result<(), TlsConfigError> {
        let source = self.source.as_ref().ok_or(TlsConfigError::NoFiles)?;
        let mut loaded = self.loaded();
        let current = loaded.load(source, &source.read())?;
        self.current.store(Arc::new(current));
        Ok(())
    }

    /// Reloads if the files are not what they were when they were last loaded.
    pub(super) fn reload_if_changed(&self) -> Option<Result<(), TlsConfigError>> {
        let source = self.source.as_ref()?;
        let mut loaded = self.loaded();
        let contents = source.read();
        if contents.fingerprint() == loaded.fingerprint {
            return None;
        }
        Some(
            loaded
                .load(source, &contents)
                .map(|current| self.current.store(Arc::new(current))),
        )
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a configuration nothing is shown, lest there be a key in it.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
