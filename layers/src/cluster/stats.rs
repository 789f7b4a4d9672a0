//! Counters of an instance.

use std::sync::atomic::AtomicU64;

/// The counters of an instance: see [`Cluster::stats`](super::Cluster::stats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterStats {
    /// Whether the store answers.
    pub is_reachable: bool,
    /// The number of instances that the store last reported. It is 0 if it never did.
    pub instances: usize,
    /// The number of batches sent to the store: its round trips.
    pub batches: u64,
    /// The number of claims in all batches.
    pub claims: u64,
    /// The number of batches that failed, or were not answered in time.
    pub failures: u64,
    /// The number of claims that the store could not apply, for example because their keys are used
    /// for something else. [`Cluster::last_error`](super::Cluster::last_error) names the last one.
    pub inapplicable: u64,
    /// The number of connections that waited for the store. All others were decided at once.
    pub asked: u64,
    /// The number of connections that were admitted by [`Lost`](super::Lost).
    pub admitted_without_store: u64,
    /// The number of connections that were refused by [`Lost`](super::Lost).
    pub refused_without_store: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) batches: AtomicU64,
    pub(super) claims: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) inapplicable: AtomicU64,
    pub(super) asked: AtomicU64,
    pub(super) admitted_without_store: AtomicU64,
    pub(super) refused_without_store: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
    }
}
