//! Whether writes are served.

use super::Problem;
use http::StatusCode;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The reason why writes are refused, if they are.
#[derive(Default)]
pub(super) struct Writes(RwLock<Option<Arc<str>>>);

/// Keeps writes from being refused while one of them is applied.
pub(super) struct WriteGuard<'a> {
    _reason: RwLockReadGuard<'a, Option<Arc<str>>>,
}

impl Writes {
    /// Waits until no write is being applied.
    pub(super) fn refuse(&self, reason: Arc<str>) {
        self.set(Some(reason));
    }

    pub(super) fn allow(&self) {
        self.set(None);
    }

    fn set(&self, reason: Option<Arc<str>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Begins to apply a write.
    pub(super) fn begin(&self) -> Result<WriteGuard<'_>, Problem> {
        let reason = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match &*reason {
            Some(reason) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason)),
            None => Ok(WriteGuard { _reason: reason }),
        }
    }
}
