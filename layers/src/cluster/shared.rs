//! What the limits of an instance and its driver share.

use super::{
    settings::Settings,
    stats::{ClusterStats, Counters},
    store::Answer,
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::timeout,
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) instance: String,
    pub(super) counters: Counters,
    /// Wakes the driver.
    pub(super) wake: Notify,
    /// Wakes those who wait until the instance has left.
    pub(super) progress: Notify,
    /// The number of instances that the store last reported, or 0.
    instances: AtomicUsize,
    number: AtomicU64,
    is_leaving: AtomicBool,
    has_left: AtomicBool,
    reachable: watch::Sender<bool>,
    last_error: Mutex<Option<Arc<str>>>,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Shared {
            instance: format!("{:016x}", fastrand::u64(..)),
            counters: Counters::default(),
            wake: Notify::new(),
            progress: Notify::new(),
            instances: AtomicUsize::new(0),
            number: AtomicU64::new(0),
            is_leaving: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            // Until it has failed, so that the first connections wait for the first answer.
            reachable: watch::Sender::new(true),
            last_error: Mutex::default(),
            settings,
        }
    }

    /// Waits for the answer to a question, if one could be asked. Returns `None` if it does not come
    /// in time.
    pub(super) async fn wait<T>(&self, asked: Option<oneshot::Receiver<T>>) -> Option<T> {
        timeout(self.settings.wait, asked?).await.ok()?.ok()
    }

    pub(super) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Relaxed) + 1
    }

    /// Returns the number of instances as last reported.
    pub(super) fn instances(&self) -> usize {
        self.instances.load(Relaxed)
    }

    /// Returns the number of instances among which a limit is divided, or `None` if nothing is
    /// known about them.
    pub(super) fn divisor(&self) -> Option<usize> {
        match self.instances().max(self.settings.expected) {
            0 => None,
            instances => Some(instances),
        }
    }

    pub(super) fn is_reachable(&self) -> bool {
        *self.reachable.borrow()
    }

    pub(super) fn reachable(&self) -> watch::Receiver<bool> {
        self.reachable.subscribe()
    }

    /// Closes the circuit. Returns whether it was open.
    pub(super) fn answered(&self, answer: &Answer) -> bool {
        match answer.is_learning {
            // A store that has just restarted has not heard of all of them yet.
            true => self.instances.fetch_max(answer.instances, Relaxed),
            false => self.instances.swap(answer.instances, Relaxed),
        };
        self.reachable
            .send_if_modified(|reachable| !std::mem::replace(reachable, true))
    }

    /// Opens the circuit. Returns whether it was closed.
    pub(super) fn failed(&self, error: &str) -> bool {
        self.counters.failures.fetch_add(1, Relaxed);
        self.set_error(error);
        self.reachable
            .send_if_modified(|reachable| std::mem::replace(reachable, false))
    }

    /// Notes that the store could not apply the claim to this key, and answered all others.
    pub(super) fn inapplicable(&self, key: &str) {
        self.counters.inapplicable.fetch_add(1, Relaxed);
        self.set_error(&format!("the store could not apply the claim to {key:?}"));
    }

    fn set_error(&self, error: &str) {
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(error.into());
    }

    pub(super) fn last_error(&self) -> Option<Arc<str>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Acquire)
    }

    pub(super) fn set_leaving(&self) {
        self.is_leaving.store(true, Release);
    }

    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Acquire)
    }

    pub(super) fn set_left(&self) {
        self.has_left.store(true, Release);
    }

    pub(super) fn stats(&self) -> ClusterStats {
        let Counters {
            batches,
            claims,
            failures,
            inapplicable,
            asked,
            admitted_without_store,
            refused_without_store,
        } = &self.counters;
        ClusterStats {
            is_reachable: self.is_reachable(),
            instances: self.instances(),
            batches: batches.load(Relaxed),
            claims: claims.load(Relaxed),
            failures: failures.load(Relaxed),
            inapplicable: inapplicable.load(Relaxed),
            asked: asked.load(Relaxed),
            admitted_without_store: admitted_without_store.load(Relaxed),
            refused_without_store: refused_without_store.load(Relaxed),
        }
    }
}
