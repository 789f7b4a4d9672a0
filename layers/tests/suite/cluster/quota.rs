//! What quota mode saves, and what it costs.

use super::kit::{CLIENT, LEASE, MILLISECOND, builder, three};
use reagent_layers::cluster::{MemoryStore, Mode};
use tokio::time::sleep;

/// The renewals of an instance: a third of the lease.
const RENEWAL: std::time::Duration = LEASE.checked_div(3).unwrap();

#[tokio::test(start_paused = true)]
async fn at_a_steady_load_nine_in_ten_connections_do_not_ask_the_store() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder()).await;
    let ips: Vec<String> = (0..30).map(|n| format!("10.0.0.{n}")).collect();
    let asked = || {
        instances
            .iter()
            .map(|instance| instance.cluster.stats().asked)
            .sum::<u64>()
    };
    // Each client comes to each instance four times in a renewal interval.
    let mut connections = 0;
    let mut asked_before = 0;
    for round in 0..60 {
        if round == 4 {
            (connections, asked_before) = (0, asked());
        }
        for instance in &instances {
            for ip in &ips {
                assert!(instance.connect(ip).await.is_some(), "round {round}");
                connections += 1;
            }
        }
        sleep(RENEWAL / 4).await;
    }
    let asked = asked() - asked_before;
    println!("{asked} of {connections} connections asked the store");
    assert!(asked * 10 <= connections, "{asked} of {connections} asked");
}

#[tokio::test(start_paused = true)]
async fn in_exact_mode_each_connection_asks_once() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder().mode(Mode::Exact)).await;
    for n in 1..20 {
        assert!(instances[0].connect(CLIENT).await.is_some());
        sleep(MILLISECOND).await;
        assert_eq!(instances[0].cluster.stats().asked, n);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_places_return_after_two_renewals() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder()).await;
    drop(instances[0].connect_many(CLIENT, 5).await);
    instances[0].settle().await;
    let mut open = instances[1].connect_many(CLIENT, 5).await;
    assert_eq!(open.len(), 0);
    // The first renewal keeps a share: one of five among three instances.
    sleep(RENEWAL).await;
    open.extend(instances[1].connect_many(CLIENT, 5).await);
    assert_eq!(open.len(), 4);
    sleep(RENEWAL).await;
    open.extend(instances[1].connect_many(CLIENT, 5).await);
    assert_eq!(open.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn renewals_cost_three_batches_a_lease_for_each_128_clients() {
    let store = MemoryStore::new();
    let instances = three(&store, 5, builder()).await;
    let mut open = Vec::new();
    for n in 0..1000 {
        let ip = format!("10.0.{}.{}", n / 250, n % 250);
        open.extend(instances[0].connect(&ip).await);
    }
    assert_eq!(open.len(), 1000);
    sleep(2 * LEASE).await;
    let before = instances[0].cluster.stats();
    sleep(10 * LEASE).await;
    let after = instances[0].cluster.stats();
    assert_eq!(after.claims - before.claims, 30 * 1000);
    let batches = after.batches - before.batches;
    // One of them may be cut in two where the first connections came.
    assert!(batches <= 30 * 9, "{batches}");
    assert_eq!(
        instances[1].link.batches(),
        instances[1].cluster.stats().batches
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_asks_the_store_at_most_once_in_20_ms() {
    let store = MemoryStore::new();
    let instances = three(&store, 2, builder()).await;
    let _open = instances[0].connect_many(CLIENT, 2).await;
    let before = instances[1].cluster.stats().asked;
    for _ in 0..100 {
        assert!(instances[1].connect(CLIENT).await.is_none());
        sleep(MILLISECOND).await;
    }
    let asked = instances[1].cluster.stats().asked - before;
    assert!(asked <= 6, "{asked}");
}
