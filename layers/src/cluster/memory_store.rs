//! A store in the memory of one process.

use super::store::{Answer, Batch, Claim, Store, StoreFuture, share};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A [`Store`] in the memory of this process. Clones share it.
///
/// It is meant for tests, and for several servers of one process. It follows the same rules as
/// `RedisStore`, by Tokio's clock, so a test can pause it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    clusters: Arc<Mutex<HashMap<String, Record>>>,
}

/// What is known about one cluster.
#[derive(Debug)]
struct Record {
    born: Instant,
    /// When it was found that the store had lost its data.
    learning_since: Option<Instant>,
    /// When what has ended was last removed.
    swept: Instant,
    /// The end of the lease of each instance.
    instances: HashMap<String, Instant>,
    places: HashMap<String, HashMap<String, Held>>,
    /// The time at which each bucket is full again.
    buckets: HashMap<String, Instant>,
}

#[derive(Debug)]
struct Held {
    places: u32,
    until: Instant,
    number: u64,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, like a store that is restarted without its data.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Returns the number of keys that the store has for the cluster of this name.
    pub fn keys(&self, cluster: &str) -> usize {
        let now = Instant::now();
        let mut clusters = self.lock();
        clusters.get_mut(cluster).map_or(0, |record| {
            record.sweep(now);
            record.places.len() + record.buckets.len()
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Record>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: &Batch) -> Answer {
        let now = Instant::now();
        let mut clusters = self.lock();
        let record = clusters
            .entry(batch.cluster.clone())
            .or_insert_with(|| Record::new(now));
        record.register(batch, now);
        if now - record.swept >= batch.lease {
            record.sweep(now);
        }
        let instances = record.instances.len();
        let is_learning = record
            .learning_since
            .is_some_and(|since| now - since < batch.lease);
        let learning = is_learning.then(|| instances.max(batch.instances));
        let granted = batch
            .claims
            .iter()
            .map(|claim| Some(record.grant(batch, claim, learning, now)))
            .collect();
        Answer {
            instances,
            is_learning,
            granted,
        }
    }
}

impl Store for MemoryStore {
    fn claim<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a> {
        let answer = self.apply(batch);
        Box::pin(async { Ok(answer) })
    }
}

impl Record {
    fn new(now: Instant) -> Self {
        Record {
            born: now,
            learning_since: None,
            swept: now,
            instances: HashMap::new(),
            places: HashMap::new(),
            buckets: HashMap::new(),
        }
    }

    fn register(&mut self, batch: &Batch, now: Instant) {
        self.instances.retain(|_, until| *until > now);
        if batch.is_leaving {
            self.instances.remove(&batch.instance);
        } else {
            let until = now + batch.lease;
            let known = self.instances.insert(batch.instance.clone(), until);
            if known.is_none() && batch.instances > 0 && now - self.born < batch.lease {
                self.learning_since.get_or_insert(now);
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        self.places.retain(|_, held| {
            held.retain(|_, held| held.until > now);
            !held.is_empty()
        });
        self.buckets.retain(|_, full| *full > now);
    }

    fn grant(
        &mut self,
        batch: &Batch,
        claim: &Claim,
        learning: Option<usize>,
        now: Instant,
    ) -> u32 {
        match claim {
            Claim::Places {
                key,
                want,
                hold,
                max,
                number,
            } => {
                let all = self.places.entry(key.clone()).or_default();
                all.retain(|_, held| held.until > now);
                let mine = all.get(&batch.instance);
                if mine.is_some_and(|mine| mine.number > *number) {
                    return 0;
                }
                let others = all.iter().filter(|(name, _)| **name != batch.instance);
                let others = others.fold(0, |sum: u32, (_, held)| sum.saturating_add(held.places));
                let most = learning.map_or(u32::MAX, |instances| share(*max, instances));
                let places = max.saturating_sub(others).min(*want).min(most).max(*hold);
                if places > 0 {
                    let until = now + batch.lease;
                    let number = *number;
                    let held = Held {
                        places,
                        until,
                        number,
                    };
                    all.insert(batch.instance.clone(), held);
                } else {
                    all.remove(&batch.instance);
                }
                if all.is_empty() {
                    self.places.remove(key);
                }
                places
            }
            Claim::Tokens {
                key,
                want,
                interval,
                burst,
            } => {
                let full = self.buckets.get(key).map_or(now, |full| (*full).max(now));
                // By the virtual scheduling of GCRA: the bucket lacks what it needs to be full.
                let lacking = (full - now).as_secs_f64();
                let interval = interval.as_secs_f64();
                let room = (f64::from(*burst) - (lacking - 1e-6) / interval).max(0.0) as u32;
                let taken = room.min(*want).min(*burst);
                if taken > 0 {
                    let full = full + Duration::from_secs_f64(f64::from(taken) * interval);
                    self.buckets.insert(key.clone(), full);
                }
                taken
            }
        }
    }
}
