//! The store that the instances of a cluster share.

use reagent::BoxError;
use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

/// The future of [`Store::claim`].
pub type StoreFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send + 'a>>;

/// A store that several instances share: [`MemoryStore`](super::MemoryStore), `RedisStore`, or your
/// own.
///
/// A store keeps, for each key, what each instance holds and until when, by its own clock. Whatever
/// is not renewed in time is dropped. It may lose everything at any time, as after a restart.
///
/// The driver of a [`Cluster`](super::Cluster) is its only user. It sends a few batches at a time,
/// drops the future of a batch that takes too long, and sends the next batch only after a pause. So
/// a store needs no queue, no timeout and no retries, but it should connect again when a batch needs
/// it.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Applies a batch of claims, in order, and registers the instance.
    ///
    /// The claims of a batch may be applied one by one. Each must be atomic.
    ///
    /// # Errors
    ///
    /// Any error means that the batch may or may not have been applied. So does a panic, which is
    /// caught.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time, and the batch may still be applied later, even after
    /// those that follow it. [`Claim::Places`] has a number, by which late ones are ignored.
    fn claim<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn claim<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a> {
        (**self).claim(batch)
    }
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn claim<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a> {
        (**self).claim(batch)
    }
}

/// Claims of one instance, sent together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The name of the cluster.
    pub cluster: String,
    /// The instance, which is new after each start.
    pub instance: String,
    /// The time for which the store keeps the instance and its places.
    pub lease: Duration,
    /// The number of instances that the store last reported to this one. It is 0 if the store has
    /// never answered.
    pub instances: usize,
    /// Whether the instance is leaving, and no longer counts as one.
    pub is_leaving: bool,
    /// The claims, each for another key.
    pub claims: Vec<Claim>,
}

impl Batch {
    /// Creates a batch without claims, which only registers the instance.
    pub fn new(cluster: &str, instance: &str, lease: Duration) -> Self {
        Batch {
            cluster: cluster.to_owned(),
            instance: instance.to_owned(),
            lease,
            instances: 0,
            is_leaving: false,
            claims: Vec::new(),
        }
    }
}

/// The claim of an instance to places or tokens under one key.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// Replaces the places that the instance holds.
    ///
    /// The store grants `want`, or as many as others have left of `max`. While it
    /// [learns](Answer::is_learning), it grants no more than the [`share`]. It always grants `hold`, even
    /// if that exceeds the limit, since these places are in use.
    Places {
        /// The key of a limit and a client.
        key: String,
        /// The number of places to hold from now on.
        want: u32,
        /// The number of places that are in use.
        hold: u32,
        /// The limit for all instances together.
        max: u32,
        /// A number that rises with each claim of the instance. A claim with a lower number than
        /// one that was applied before is late, and ignored.
        number: u64,
    },
    /// Takes tokens from a bucket, as many of `want` as it has.
    Tokens {
        /// The key of a rate and a client.
        key: String,
        /// The number of tokens to take at most.
        want: u32,
        /// The time in which the bucket gains a token.
        interval: Duration,
        /// The size of the bucket.
        burst: u32,
    },
}

impl Claim {
    pub(super) fn key(&self) -> &str {
        match self {
            Claim::Places { key, .. } | Claim::Tokens { key, .. } => key,
        }
    }

    /// Returns the most that a store may grant.
    pub(super) fn most(&self) -> u32 {
        match self {
            Claim::Places { want, hold, .. } => *want.max(hold),
            Claim::Tokens { want, .. } => *want,
        }
    }
}

/// The answer to a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number of live instances of the cluster.
    pub instances: usize,
    /// Whether the store is learning, since it has lost its data: other instances may hold places
    /// that it does not know of.
    ///
    /// It begins to learn when a batch is from an instance that the store has
    /// [answered before](Batch::instances) and does not know, unless it has known the cluster for a
    /// lease. It has learned after a lease.
    pub is_learning: bool,
    /// What was granted for each claim, in their order; `None` if the claim could not be applied,
    /// for example because its key is used for something else. Its client is then decided as if the
    /// store could not be reached, and the others are not affected.
    pub granted: Vec<Option<u32>>,
}

/// Returns the share of one instance in `max` places: `max` divided by the number of instances,
/// rounded down, but at least one place if `max` is not 0.
///
/// All shares together are at most `max`, unless there are more instances than places.
pub fn share(max: u32, instances: usize) -> u32 {
    let instances = u32::try_from(instances).unwrap_or(u32::MAX).max(1);
    (max / instances).max(1).min(max)
}
