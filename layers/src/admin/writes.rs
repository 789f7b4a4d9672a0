//! Whether writes are served.

use super::{Admin, Problem};
use http::StatusCode;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The reason why writes are refused, if they are.
#[derive(Default)]
pub(super) struct Writes(RwLock<Option<Arc<str>>>);

/// Keeps writes from being refused while one of them is applied.
pub(super) struct WriteGuard<'a> {
    _reason: RwLockReadGuard<'a, Option<Arc<str>>>,
}

impl Admin {
    /// Refuses all writes from now on with 503 and this reason, until
    /// [`allow_writes`](Self::allow_writes). When it returns, no write to the ban list or to a
    /// limit is still being applied.
    ///
    /// Call it in [`Carried::save`](reagent::Carried::save) of the first state of a
    /// [`Handover`](reagent::Handover), so that no ban is lost that was made after the bans were
    /// saved. Do not call it in the `set` function of a limit, for which it would wait.
    pub fn refuse_writes(&self, reason: impl Into<Arc<str>>) {
        self.shared.writes.refuse(reason.into());
    }

    /// Allows writes again, for example when a hand-over
    /// [has failed](reagent::Observer::handover_failed).
    pub fn allow_writes(&self) {
        self.shared.writes.allow();
    }
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
