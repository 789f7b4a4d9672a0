//! Stores that break their rules harm nobody for long.

use super::kit::{CLIENT, Instance, LEASE, MILLISECOND, SECOND, builder};
use reagent_layers::cluster::{
    Batch, Claim, Cluster, ClusterPerClient, ClusterRate, Lost, MemoryStore, Mode, Store,
    StoreFuture,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Oddity {
    /// Panics in the call.
    PanicsAtOnce,
    /// Panics in the future.
    PanicsLater,
    GrantsTooMuch,
    GrantsNothing,
    /// Cannot apply claims, as if their keys were used for something else.
    AppliesNothing,
    AnswersTooLittle,
}

/// A store in memory that behaves oddly while `is_odd`.
#[derive(Debug)]
struct Odd {
    store: MemoryStore,
    oddity: Oddity,
    is_odd: AtomicBool,
}

impl Odd {
    fn new(oddity: Oddity) -> Arc<Self> {
        Arc::new(Odd {
            store: MemoryStore::new(),
            oddity,
            is_odd: AtomicBool::new(true),
        })
    }
}

impl Store for Odd {
    fn claim<'a>(&'a self, batch: &'a Batch) -> StoreFuture<'a> {
        if !self.is_odd.load(Relaxed) {
            return self.store.claim(batch);
        }
        assert!(self.oddity != Oddity::PanicsAtOnce, "expected by the test");
        Box::pin(async {
            assert!(self.oddity != Oddity::PanicsLater, "expected by the test");
            let mut answer = self.store.claim(batch).await?;
            for granted in &mut answer.granted {
                *granted = match self.oddity {
                    Oddity::GrantsTooMuch => granted.map(|granted| granted + 1),
                    Oddity::GrantsNothing => Some(0),
                    Oddity::AppliesNothing => None,
                    _ => *granted,
                };
            }
            if self.oddity == Oddity::AnswersTooLittle {
                answer.granted.pop();
            }
            Ok(answer)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_breaks_its_rules_is_used_again_when_it_keeps_them() {
    for mode in [Mode::Exact, Mode::Quota] {
        for oddity in [
            Oddity::PanicsAtOnce,
            Oddity::PanicsLater,
            Oddity::GrantsTooMuch,
            Oddity::GrantsNothing,
            Oddity::AppliesNothing,
            Oddity::AnswersTooLittle,
        ] {
            let (store, what) = (Odd::new(oddity), format!("{mode}, {oddity:?}"));
            let builder = builder().mode(mode).lost(Lost::Closed);
            let instance = Instance::start_with(store.clone(), 3, builder).await;
            let open = instance.connect_many(CLIENT, 5).await;
            assert!(open.len() <= 3, "{what}");
            drop(open);
            // The driver lets other tasks run, and goes on.
            let pause = timeout(60 * SECOND, sleep(20 * SECOND)).await;
            assert!(pause.is_ok() && instance.is_driven(), "{what}");
            store.is_odd.store(false, Relaxed);
            sleep(LEASE + 2 * SECOND).await;
            assert_eq!(instance.connect_many(CLIENT, 5).await.len(), 3, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn claims_that_cannot_be_applied_are_counted_and_named() {
    let store = Odd::new(Oddity::AppliesNothing);
    let instance = Instance::start_with(store, 3, builder().lost(Lost::Closed)).await;
    assert!(instance.connect(CLIENT).await.is_none());
    let stats = instance.cluster.stats();
    assert!(stats.is_reachable && stats.failures == 0);
    assert_eq!(stats.inapplicable, 1);
    let error = instance.cluster.last_error().unwrap();
    assert!(error.contains("\"per-client:192.0.2.1\""), "{error}");
}

#[tokio::test(start_paused = true)]
async fn no_lease_or_rate_is_too_extreme() {
    for lease in [Duration::ZERO, Duration::MAX] {
        let builder = builder().lease(lease);
        let instance = Instance::start(&MemoryStore::new(), 3, builder).await;
        assert_eq!(instance.connect_many(CLIENT, 5).await.len(), 3);
        assert!(instance.is_driven());
    }
    let store: Box<dyn Store> = Box::new(MemoryStore::new());
    let (cluster, _driver) = Cluster::builder("test").build(store);
    let _limit = ClusterPerClient::new(&cluster, "places", u32::MAX);
    let rate = ClusterRate::in_all(&cluster, "rate", f64::NAN, f64::NAN);
    for rate_and_burst in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0] {
        rate.set(rate_and_burst, rate_and_burst);
        assert!(rate.per_second() >= 1.0 / 86_400.0 && rate.per_second() <= 1e6);
    }
}

#[tokio::test(start_paused = true)]
async fn places_in_use_by_all_add_up_without_an_overflow() {
    let (store, lease) = (MemoryStore::new(), 100 * MILLISECOND);
    for instance in ["one", "two", "three"] {
        let mut batch = Batch::new("test", instance, lease);
        batch.claims.push(Claim::Places {
            key: "per-client:192.0.2.1".into(),
            want: u32::MAX,
            hold: u32::MAX,
            max: u32::MAX,
            number: 1,
        });
        let granted = store.claim(&batch).await.unwrap().granted;
        assert_eq!(granted, [Some(u32::MAX)]);
    }
}
