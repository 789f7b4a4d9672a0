//! Places per client while the store answers.

use super::kit::{
    CLIENT, Instance, LEASE, Link, MILLISECOND, SECOND, builder, drive, three, timed,
};
use reagent_layers::{
    DryRun,
    cluster::{CLUSTER_CONNECTIONS, Cluster, ClusterPerClient, MemoryStore, Mode},
};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_client_has_one_limit_over_all_instances() {
    for mode in [Mode::Exact, Mode::Quota] {
        let store = MemoryStore::new();
        let instances = three(&store, 5, builder().mode(mode)).await;
        let mut open = Vec::new();
        for round in 0..4 {
            for instance in &instances {
                open.extend(instance.connect(CLIENT).await);
                assert!(open.len() <= 5, "{mode:?}, round {round}");
            }
        }
        assert_eq!(open.len(), 5, "{mode:?}");
        assert_eq!(instances[2].refusal(2).await, CLUSTER_CONNECTIONS);
        // Another client has its own places.
        assert!(instances[0].connect("192.0.2.2").await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_fleet_has_the_whole_limit_at_once() {
    let store = MemoryStore::new();
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Instance::start(&store, 5, builder()).await);
    }
    assert_eq!(instances[2].connect_many(CLIENT, 6).await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn three_hundred_clients_never_have_more_than_five_places_each() {
    for mode in [Mode::Exact, Mode::Quota] {
        let store = MemoryStore::new();
        let instances = three(&store, 5, builder().mode(mode)).await;
        let ips: Vec<String> = (0..300)
            .map(|n| format!("10.0.{}.{}", n / 250, n % 250))
            .collect();
        let mut open = Vec::new();
        // Each tries to have three at each of them, and some connections end in between.
        for _ in 0..3 {
            for instance in &instances {
                for ip in &ips {
                    open.extend(instance.connect(ip).await);
                }
            }
            for ip in &ips {
                let places: usize = instances.iter().map(|instance| instance.open(ip)).sum();
                assert!(places <= 5, "{mode:?}: {ip} has {places}");
            }
            open = open.into_iter().step_by(2).collect();
            sleep(SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_given_back_is_free_for_another_instance_at_once_in_exact_mode() {
    let store = MemoryStore::new();
    let instances = three(&store, 2, builder().mode(Mode::Exact)).await;
    let mut open = instances[0].connect_many(CLIENT, 2).await;
    assert!(instances[1].connect(CLIENT).await.is_none());
    drop(open.pop());
    // Longer than a refusal is remembered.
    sleep(25 * MILLISECOND).await;
    open.extend(instances[1].connect(CLIENT).await);
    assert_eq!(open.len(), 2);
    assert!(instances[2].connect(CLIENT).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn places_of_a_crashed_instance_return_within_a_lease() {
    let store = MemoryStore::new();
    let mut instances = three(&store, 5, builder()).await;
    let open = instances[0].connect_many(CLIENT, 5).await;
    assert_eq!(open.len(), 5);
    instances.remove(0).kill().await;
    assert!(instances[0].connect(CLIENT).await.is_none());
    sleep(LEASE).await;
    assert_eq!(instances[0].connect_many(CLIENT, 6).await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn open_connections_keep_their_places_for_many_leases() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder()).await;
    let open = instances[0].connect_many(CLIENT, 5).await;
    for _ in 0..20 {
        sleep(LEASE / 2).await;
        assert!(instances[1].connect(CLIENT).await.is_none());
    }
    assert_eq!(open.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_idle_places_back_at_once() {
    let store = MemoryStore::new();
    let instances = three(&store, 90, builder()).await;
    let open = instances[0].connect_many(CLIENT, 60).await;
    assert_eq!(open.len(), 60);
    drop(open);
    instances[0].settle().await;
    // The instance keeps what was in use.
    let mut elsewhere = instances[2].connect_many(CLIENT, 90).await;
    assert!(elsewhere.len() <= 30, "{}", elsewhere.len());
    instances[0].server.drain(Duration::ZERO).await;
    let ((), took) = timed(instances[0].cluster.leave()).await;
    assert!(took < SECOND / 10, "{took:?}");
    sleep(25 * MILLISECOND).await;
    elsewhere.extend(instances[2].connect_many(CLIENT, 90).await);
    assert_eq!(elsewhere.len(), 90);
    assert_eq!(instances[2].cluster.stats().instances, 2);
}

#[tokio::test(start_paused = true)]
async fn a_leaving_instance_gives_each_place_back_when_its_connection_ends() {
    let store = MemoryStore::new();
    let instances = three(&store, 3, builder()).await;
    let mut open = instances[0].connect_many(CLIENT, 3).await;
    instances[0].cluster.leave().await;
    assert!(instances[1].connect(CLIENT).await.is_none());
    drop(open.pop());
    sleep(25 * MILLISECOND).await;
    let taken = instances[1].connect_many(CLIENT, 2).await;
    assert_eq!(taken.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_can_be_changed() {
    let store = MemoryStore::new();
    let instances = three(&store, 1, builder().mode(Mode::Exact)).await;
    let _first = instances[0].connect(CLIENT).await.unwrap();
    assert!(instances[1].connect(CLIENT).await.is_none());
    for instance in &instances {
        instance.limit.set_max(2);
    }
    sleep(25 * MILLISECOND).await;
    let _second = instances[1].connect(CLIENT).await.unwrap();
    assert!(instances[2].connect(CLIENT).await.is_none());
    for instance in &instances {
        instance.limit.set_max(0);
    }
    assert!(instances[0].connect("192.0.2.2").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn clients_without_connections_are_forgotten_here_and_in_the_store() {
    let store = MemoryStore::new();
    let instance = Instance::start(&store, 5, builder()).await;
    for n in 0..500 {
        let ip = format!("10.0.{}.{}", n / 250, n % 250);
        assert!(instance.connect(&ip).await.is_some());
    }
    assert!(instance.limit.clients() <= 500);
    // The first renewal keeps what was in use, the second gives it back, the third forgets them.
    sleep(LEASE + SECOND).await;
    assert_eq!((instance.limit.clients(), store.keys("test")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_table_refuses_new_clients_and_serves_known_ones() {
    let store = MemoryStore::new();
    let instance = Instance::start(&store, 5, builder().capacity(1)).await;
    let _first = instance.connect(CLIENT).await.unwrap();
    assert!(instance.connect("192.0.2.2").await.is_none());
    assert!(instance.connect(CLIENT).await.is_some());
    assert_eq!(instance.refusal(2).await, "cluster store");
}

#[tokio::test(start_paused = true)]
async fn the_driver_ends_with_the_last_handle() {
    let (cluster, driver) = Cluster::builder("test").build(MemoryStore::new());
    let limit = ClusterPerClient::new(&cluster, "per-client", 1);
    let driver = drive(driver);
    sleep(60 * SECOND).await;
    drop(cluster);
    sleep(60 * SECOND).await;
    assert!(!driver.is_finished());
    drop(limit);
    driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "two limits with the name \"per-client\"")]
async fn two_limits_of_one_name_are_refused() {
    let (cluster, _driver) = Cluster::builder("test").build(MemoryStore::new());
    let _limit = ClusterPerClient::new(&cluster, "per-client", 1);
    ClusterPerClient::new(&cluster, "per-client", 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_only_tried_serves_everybody_and_counts_as_if_it_was_enforced() {
    for mode in [Mode::Exact, Mode::Quota] {
        let (store, dry_run) = (MemoryStore::new(), DryRun::new(true));
        let mut instances = Vec::new();
        for _ in 0..2 {
            let builder = builder().mode(mode);
            instances.push(Instance::start_in(dry_run.clone(), store.clone(), 3, builder).await);
        }
        let mut open = Vec::new();
        for instance in &instances {
            open.extend(instance.connect_many(CLIENT, 3).await);
        }
        assert_eq!(open.len(), 6, "{mode:?}");
        let places: usize = instances.iter().map(|instance| instance.open(CLIENT)).sum();
        assert_eq!(places, 3, "{mode:?}");
        let spared = |instance: &Instance| {
            let connections = instance.server.connections();
            let labels = connections.iter().flat_map(|connection| &connection.labels);
            labels
                .filter(|(key, value)| *key == "dry_run" && value == "cluster: cluster connections")
                .count()
        };
        assert_eq!(instances.iter().map(spared).sum::<usize>(), 3, "{mode:?}");

        dry_run.set(false);
        assert!(instances[1].connect(CLIENT).await.is_none(), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_only_tried_makes_nobody_wait_for_the_store() {
    let (link, dry_run) = (Link::default(), DryRun::new(true));
    let other = Instance::start(&link.store, 1, builder()).await;
    let instance = Instance::start_in(dry_run.clone(), link.clone(), 1, builder()).await;
    let elsewhere = "192.0.2.9";
    let _held = other.connect(elsewhere).await.expect("a place");
    link.delay(15 * MILLISECOND);
    let (clients, took) = timed(instance.connect_many(CLIENT, 2)).await;
    assert_eq!((clients.len(), took), (2, Duration::ZERO));
    // Only the first has a place, which it keeps.
    sleep(LEASE).await;
    assert_eq!(instance.open(CLIENT), 1);

    // A connection that is shorter than a round trip is decided on all the same.
    let short = async {
        drop(instance.connect("192.0.2.2").await);
        instance.ends.of(3).await
    };
    assert!(timed(short).await.1 >= 15 * MILLISECOND);

    // The dry run ends while the store is asked.
    let client = instance.connect(elsewhere).await;
    assert!(client.is_some());
    dry_run.set(false);
    assert_eq!(instance.refusal(4).await, CLUSTER_CONNECTIONS);
    drop(clients);
    instance.ends.of(1).await;
    assert_eq!(instance.open(CLIENT), 0);
}
