//! What holds while the store does not answer, and after that.

use super::kit::{CLIENT, Instance, LEASE, MILLISECOND, SECOND, builder, three, timed};
use reagent_layers::cluster::{CLUSTER_CONNECTIONS, CLUSTER_STORE, Lost, MemoryStore, Mode, share};
use tokio::time::sleep;

/// The time that a connection waits for the store at most.
const WAIT: std::time::Duration = MILLISECOND.saturating_mul(20);

#[tokio::test(start_paused = true)]
async fn without_the_store_the_policy_decides() {
    for (lost, admitted) in [(Lost::Open, 9), (Lost::Closed, 0), (Lost::Share, 3)] {
        let store = MemoryStore::new();
        let instances = three(&store, 5, builder().lost(lost)).await;
        for instance in &instances {
            instance.link.cut(true);
        }
        sleep(LEASE).await;
        let mut open = Vec::new();
        for instance in &instances {
            assert!(!instance.cluster.stats().is_reachable);
            open.extend(instance.connect_many(CLIENT, 3).await);
        }
        assert_eq!(open.len(), admitted, "{lost:?}");
        let stats = instances[0].cluster.stats();
        let decided = (stats.admitted_without_store, stats.refused_without_store);
        let each = admitted as u64 / 3;
        assert_eq!(decided, (each, 3 - each), "{lost:?}");
        if lost == Lost::Closed {
            assert_eq!(instances[0].refusal(1).await, CLUSTER_STORE);
        }
    }
}

#[test]
fn shares_never_exceed_the_limit_unless_there_are_more_instances_than_places() {
    for max in 0..50 {
        for instances in 1..20 {
            let all = share(max, instances) as usize * instances;
            assert!(all <= (max as usize).max(instances) && (max == 0 || all > 0));
        }
    }
    assert_eq!(
        (share(5, 3), share(2, 3), share(0, 3), share(5, 0)),
        (1, 1, 0, 5)
    );
}

#[tokio::test(start_paused = true)]
async fn granted_places_are_used_until_their_lease_ends() {
    let store = MemoryStore::new();
    let instances = three(&store, 90, builder().lost(Lost::Closed)).await;
    drop(instances[0].connect_many(CLIENT, 20).await);
    instances[0].settle().await;
    instances[0].link.cut(true);
    let mut open = instances[0].connect_many(CLIENT, 20).await;
    assert_eq!(open.len(), 20);
    drop(open.pop());
    sleep(LEASE).await;
    assert!(instances[0].connect(CLIENT).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_20_ms_for_a_slow_store_and_then_not_at_all() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder()).await;
    instances[0].link.delay(SECOND);
    let (admitted, took) = timed(instances[0].connect(CLIENT)).await;
    assert!(
        admitted.is_some() && took >= WAIT && took <= WAIT + MILLISECOND,
        "{took:?}"
    );
    // The circuit opens when the batch is late.
    sleep(100 * MILLISECOND).await;
    let (_, took) = timed(instances[0].connect("192.0.2.2")).await;
    assert!(took < MILLISECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_a_little_slow_is_waited_for() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder().mode(Mode::Exact)).await;
    for instance in &instances {
        instance.link.delay(15 * MILLISECOND);
    }
    let mut open = Vec::new();
    for _ in 0..3 {
        for instance in &instances {
            open.extend(instance.connect(CLIENT).await);
        }
    }
    assert_eq!(open.len(), 5);
    let stats = instances[0].cluster.stats();
    assert_eq!(
        stats.admitted_without_store + stats.refused_without_store,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_being_given_back_is_not_used_again() {
    let store = MemoryStore::new();
    let instances = three(&store, 1, builder().mode(Mode::Exact).lost(Lost::Closed)).await;
    let held = instances[0].connect(CLIENT).await.unwrap();
    instances[0].link.delay(60 * MILLISECOND);
    drop(held);
    sleep(MILLISECOND).await;
    assert!(instances[0].connect(CLIENT).await.is_none());
    sleep(60 * MILLISECOND).await;
    assert!(instances[1].connect(CLIENT).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_made_good_by_the_next_renewal() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder().mode(Mode::Exact).lost(Lost::Closed)).await;
    instances[0].link.deafen(true);
    assert!(instances[0].connect(CLIENT).await.is_none());
    // The store counts a place that the instance does not know of.
    assert_eq!(instances[1].connect_many(CLIENT, 5).await.len(), 4);
    instances[0].link.deafen(false);
    sleep(LEASE / 3).await;
    let _ = instances[1].connect(CLIENT).await;
    assert_eq!(instances[1].connect_many(CLIENT, 5).await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_restarts_empty_learns_before_it_grants_more_than_shares() {
    let store = MemoryStore::new();
    let instances = three(&store, 6, builder()).await;
    let mut open = instances[0].connect_many(CLIENT, 6).await;
    for instance in &instances {
        instance.link.cut(true);
    }
    sleep(SECOND).await;
    store.clear();
    // The instance without places is the first to come back.
    instances[1].link.cut(false);
    sleep(3 * SECOND).await;
    assert!(instances[1].cluster.stats().is_reachable);
    open.extend(instances[1].connect_many(CLIENT, 6).await);
    assert_eq!(open.len(), 6 + 2, "a share of 6 among 3 instances");
    for instance in &instances {
        instance.link.cut(false);
    }
    sleep(3 * SECOND).await;
    assert!(instances[2].connect(CLIENT).await.is_none());
    assert!(instances[1].connect(CLIENT).await.is_none());
    // The limit holds again once those above it are gone.
    drop(open.drain(..3));
    sleep(2 * LEASE).await;
    let mut more = instances[2].connect_many(CLIENT, 6).await;
    assert_eq!(open.len() + more.len(), 6);
    more.extend(instances[0].connect(CLIENT).await);
    assert_eq!(open.len() + more.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_store_notices_its_loss_though_a_new_instance_was_first() {
    let store = MemoryStore::new();
    let instances = three(&store, 6, builder()).await;
    let held = instances[0].connect_many(CLIENT, 3).await;
    store.clear();
    let new = Instance::start(&store, 6, builder()).await;
    // Within a renewal interval the others have noticed.
    sleep(LEASE / 3).await;
    let taken = new.connect_many(CLIENT, 6).await;
    assert_eq!(taken.len(), 1, "a share of 6 among 4 instances");
    sleep(LEASE).await;
    assert_eq!(new.connect_many(CLIENT, 6).await.len(), 2);
    assert_eq!(held.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_was_cut_off_for_a_lease_announces_what_it_holds() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder().lost(Lost::Closed)).await;
    let held = instances[0].connect_many(CLIENT, 5).await;
    instances[0].link.cut(true);
    sleep(LEASE + SECOND).await;
    let mut granted_anew = instances[1].connect_many(CLIENT, 6).await;
    assert_eq!(granted_anew.len(), 5);
    instances[0].link.cut(false);
    sleep(3 * SECOND).await;
    // Ten are open, so that half of them has to end before there is a place.
    drop(granted_anew.drain(..4));
    sleep(LEASE).await;
    assert!(instances[2].connect(CLIENT).await.is_none());
    drop(held);
    sleep(LEASE).await;
    assert_eq!(instances[2].connect_many(CLIENT, 6).await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_starts_without_the_store_takes_the_least_share() {
    for (expected, admitted) in [(0, 1), (2, 3)] {
        let link = super::kit::Link::to(&MemoryStore::new());
        link.cut(true);
        let builder = builder().expected_instances(expected);
        let instance = Instance::start_linked(link, 6, builder).await;
        sleep(SECOND).await;
        assert_eq!(instance.connect_many(CLIENT, 6).await.len(), admitted);
        assert!(instance.is_driven());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_is_probed_at_growing_and_random_intervals() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder()).await;
    for instance in &instances {
        instance.link.cut(true);
    }
    sleep(2 * LEASE).await;
    let before: Vec<_> = instances
        .iter()
        .map(|instance| instance.link.batches())
        .collect();
    sleep(100 * SECOND).await;
    for (instance, before) in instances.iter().zip(&before) {
        // Between one and two seconds each.
        let probes = instance.link.batches() - before;
        assert!((50..=100).contains(&probes), "{probes}");
    }
    for instance in &instances {
        instance.link.cut(false);
    }
    sleep(3 * SECOND).await;
    assert!(
        instances
            .iter()
            .all(|instance| instance.cluster.stats().is_reachable)
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_probes_but_no_claims_is_asked_less_and_less() {
    let instance = Instance::start(&MemoryStore::new(), 5, builder()).await;
    let _open = instance.connect(CLIENT).await.unwrap();
    instance.link.refuse_claims();
    sleep(2 * LEASE).await;
    let before = instance.link.batches();
    sleep(100 * SECOND).await;
    // A probe and the claims after it, each second or two.
    let batches = instance.link.batches() - before;
    assert!((100..=200).contains(&batches), "{batches}");
}

#[tokio::test(start_paused = true)]
async fn changes_of_the_store_are_told() {
    let store = MemoryStore::new();
    let instance = Instance::start(&store, 5, builder()).await;
    let mut reachable = instance.cluster.reachable();
    assert!(*reachable.borrow_and_update());
    instance.link.cut(true);
    reachable.changed().await.unwrap();
    assert!(!*reachable.borrow_and_update());
    assert_eq!(&*instance.cluster.last_error().unwrap(), "the link is cut");
    instance.link.cut(false);
    reachable.changed().await.unwrap();
    assert!(*reachable.borrow());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_driver_that_has_ended() {
    let instance = Instance::start(&MemoryStore::new(), 5, builder()).await;
    instance.end_driver().await;
    let (admitted, took) = timed(instance.connect(CLIENT)).await;
    assert!(admitted.is_some() && took < MILLISECOND, "{took:?}");
    assert_eq!(
        &*instance.cluster.last_error().unwrap(),
        "the driver has ended"
    );
}

#[tokio::test(start_paused = true)]
async fn clients_are_forgotten_while_the_store_is_gone() {
    let instance = Instance::start(&MemoryStore::new(), 5, builder().capacity(100)).await;
    let _held = instance.connect(CLIENT).await.unwrap();
    instance.link.cut(true);
    sleep(SECOND * 4).await;
    for n in 0..1000 {
        let ip = format!("10.0.{}.{}", n / 250, n % 250);
        assert!(instance.connect(&ip).await.is_some(), "{n}");
    }
    assert!(
        instance.limit.clients() < 10,
        "{}",
        instance.limit.clients()
    );
    assert_eq!(instance.open(CLIENT), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_has_at_most_four_batches_to_do() {
    let instance = Instance::start(&MemoryStore::new(), 5, builder()).await;
    instance.link.delay(90 * MILLISECOND);
    let ips: Vec<String> = (0..2000)
        .map(|n| format!("10.0.{}.{}", n / 250, n % 250))
        .collect();
    let attempts = ips.iter().map(|ip| timed(instance.connect(ip)));
    for (admitted, took) in futures_util::future::join_all(attempts).await {
        assert!(admitted.is_some() && took <= WAIT + MILLISECOND, "{took:?}");
    }
    sleep(SECOND).await;
    assert_eq!(instance.link.most_under_way(), 4);
    assert!(instance.cluster.stats().is_reachable);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_of_less_than_half_a_lease_costs_no_place() {
    for is_silent in [false, true] {
        for phase in 0..30 {
            let what = format!("silent: {is_silent}, phase {phase}");
            let builder = builder().mode(Mode::Exact).lost(Lost::Closed);
            let instances = three(&MemoryStore::new(), 6, builder).await;
            let mut open = Vec::new();
            for instance in &instances {
                open.extend(instance.connect_many(CLIENT, 2).await);
            }
            assert_eq!(open.len(), 6, "{what}");
            sleep(LEASE / 3 * phase / 30).await;
            let link = &instances[0].link;
            match is_silent {
                true => link.delay(LEASE * 9),
                false => link.cut(true),
            }
            sleep(LEASE / 2 - SECOND).await;
            link.cut(false);
            link.delay(std::time::Duration::ZERO);
            // All places are still taken.
            for _ in 0..30 {
                for other in &instances[1..] {
                    assert!(other.connect(CLIENT).await.is_none(), "{what}");
                }
                sleep(100 * MILLISECOND).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_given_up_waiting_takes_no_place_from_others() {
    for lost in [Lost::Open, Lost::Share] {
        let builder = builder().mode(Mode::Exact).lost(lost);
        let instance = Instance::start(&MemoryStore::new(), 4, builder).await;
        // The circuit stays closed, since the store does answer in the end.
        instance.link.delay(90 * MILLISECOND);
        let open = instance.connect_many(CLIENT, 8).await;
        let stats = instance.cluster.stats();
        assert!(stats.is_reachable && stats.failures == 0, "{lost}");
        assert_eq!(open.len(), 4, "{lost}");
        for id in 5..=8 {
            assert_eq!(instance.refusal(id).await, CLUSTER_CONNECTIONS, "{lost}");
        }
        drop(open);
        // One at a time is far below the limit.
        for _ in 0..50 {
            let one = instance.connect(CLIENT).await;
            assert!(one.is_some(), "{lost}");
            drop(one);
            instance.settle().await;
        }
    }
}
