//! Rates over all instances.

use super::kit::{CLIENT, LEASE, Link, MILLISECOND, SECOND, builder, drive, greet};
use crate::support::LONG;
use reagent::{
    Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::cluster::{
    Cluster, ClusterBuilder, ClusterLayer, ClusterRate, Lost, MemoryStore, Mode,
};
use std::net::SocketAddr;
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep, timeout},
};

struct Instance {
    cluster: Cluster,
    rate: ClusterRate,
    link: Link,
    clients: Clients,
    _server: ServerHandle,
}

/// Starts three instances with a rate that `make` creates.
async fn three(builder: ClusterBuilder, make: impl Fn(&Cluster) -> ClusterRate) -> Vec<Instance> {
    let store = MemoryStore::new();
    let mut instances = Vec::new();
    for _ in 0..3 {
        let link = Link::to(&store);
        let (cluster, driver) = builder.clone().build(link.clone());
        drive(driver);
        let rate = make(&cluster);
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener).layer(ClusterLayer::new(rate.clone()));
        instances.push(Instance {
            _server: server.start(handle(greet)).await.unwrap(),
            cluster,
            rate,
            link,
            clients,
        });
    }
    sleep(LEASE + SECOND).await;
    instances
}

impl Instance {
    async fn admits(&self, ip: &str) -> bool {
        let addr = SocketAddr::new(ip.parse().unwrap(), 4000);
        let mut client = self.clients.connect_from(addr).await.unwrap();
        let greeting = timeout(LONG, client.read_u8()).await;
        greeting.expect("an answer").is_ok()
    }
}

/// Connects `rounds` times at each instance in turn, and returns how many were admitted.
async fn admitted(instances: &[Instance], ip: &str, rounds: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..rounds {
        for instance in instances {
            admitted += usize::from(instance.admits(ip).await);
        }
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn a_client_has_one_burst_and_one_rate_over_all_instances() {
    let exact = builder().mode(Mode::Exact);
    let instances = three(exact, |cluster| {
        ClusterRate::per_client(cluster, "rate", 1.0, 5.0)
    })
    .await;
    assert_eq!(admitted(&instances, CLIENT, 4).await, 5);
    assert_eq!(admitted(&instances, "192.0.2.2", 4).await, 5);
    // One token a second, and a refusal is remembered for 20 ms.
    sleep(2 * SECOND + 100 * MILLISECOND).await;
    assert_eq!(admitted(&instances, CLIENT, 4).await, 2);
}

#[tokio::test(start_paused = true)]
async fn all_clients_share_a_rate_in_all() {
    let exact = builder().mode(Mode::Exact);
    let instances = three(exact, |cluster| {
        ClusterRate::in_all(cluster, "rate", 1.0, 5.0)
    })
    .await;
    assert_eq!(admitted(&instances, CLIENT, 1).await, 3);
    assert_eq!(admitted(&instances, "192.0.2.2", 2).await, 2);
}

#[tokio::test(start_paused = true)]
async fn in_quota_mode_tokens_are_taken_ahead_and_the_rate_still_holds() {
    let make = |cluster: &Cluster| ClusterRate::per_client(cluster, "rate", 10.0, 60.0);
    let instances = three(builder(), make).await;
    let mut count = admitted(&instances, CLIENT, 40).await;
    assert!((50..=60).contains(&count), "{count}");
    for _ in 0..100 {
        sleep(SECOND).await;
        count += admitted(&instances, CLIENT, 10).await;
    }
    assert!(count <= 60 + 1000 + 10, "{count}");
    let asked: u64 = instances
        .iter()
        .map(|each| each.cluster.stats().asked)
        .sum();
    assert!(asked < 1500, "{asked} of 3120 asked");

    // Ten clients at a steady load that the rate allows.
    let before: u64 = instances
        .iter()
        .map(|each| each.cluster.stats().asked)
        .sum();
    for _ in 0..100 {
        sleep(100 * MILLISECOND).await;
        for n in 0..10 {
            assert!(instances[0].admits(&format!("10.0.0.{n}")).await);
        }
    }
    let after: u64 = instances
        .iter()
        .map(|each| each.cluster.stats().asked)
        .sum();
    assert!(after - before <= 150, "{} of 1000 asked", after - before);
}

#[tokio::test(start_paused = true)]
async fn without_the_store_the_policy_decides() {
    for (lost, expected) in [(Lost::Open, 30), (Lost::Closed, 0), (Lost::Share, 6)] {
        let make = |cluster: &Cluster| ClusterRate::per_client(cluster, "rate", 1.0, 6.0);
        let instances = three(builder().lost(lost), make).await;
        for instance in &instances {
            instance.link.cut(true);
        }
        sleep(LEASE).await;
        assert_eq!(admitted(&instances, CLIENT, 10).await, expected, "{lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_can_be_changed_and_forgets_clients() {
    let exact = builder().mode(Mode::Exact);
    let instances = three(exact, |cluster| {
        ClusterRate::per_client(cluster, "rate", 1.0, 1.0)
    })
    .await;
    assert_eq!(admitted(&instances, CLIENT, 2).await, 1);
    for instance in &instances {
        instance.rate.set(1.0, 3.0);
    }
    sleep(100 * MILLISECOND).await;
    assert_eq!(admitted(&instances, CLIENT, 2).await, 2);
    for n in 0..1000 {
        instances[0]
            .admits(&format!("10.1.{}.{}", n / 250, n % 250))
            .await;
    }
    assert!(
        instances[0].rate.clients() < 10,
        "{}",
        instances[0].rate.clients()
    );
}

/// Connects 60 times a second for five minutes while the store comes and goes, and returns how many
/// were admitted, and how often the store was lost. The client uses all instances evenly, or prefers
/// one while the store answers.
async fn admitted_by_flapping(mode: Mode, down: u32, up: u32, is_even: bool) -> (usize, usize) {
    let make = |cluster: &Cluster| ClusterRate::per_client(cluster, "rate", 10.0, 10.0);
    let mut instances = three(builder().mode(mode), make).await;
    let (mut count, mut lost, began) = (0, 0, Instant::now());
    while began.elapsed() < 300 * SECOND {
        lost += 1;
        for (is_cut, seconds) in [(true, down), (false, up)] {
            instances.iter().for_each(|each| each.link.cut(is_cut));
            let until = Instant::now() + seconds * SECOND;
            while Instant::now() < until {
                for instance in &instances {
                    count += usize::from(instance.admits(CLIENT).await);
                }
                instances.rotate_left(is_even.into());
                sleep(50 * MILLISECOND).await;
            }
        }
    }
    (count, lost)
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_and_goes_raises_the_rate_by_a_burst_each_time_at_most() {
    const RATE: usize = 3000;
    const BURST: usize = 10;
    for mode in [Mode::Exact, Mode::Quota] {
        for (down, up) in [(1, 3), (3, 3), (10, 10)] {
            let what = format!("{mode}, {down} s and {up} s");
            let (count, lost) = admitted_by_flapping(mode, down, up, true).await;
            let rate = RATE - lost * BURST..=RATE + 2 * BURST;
            assert!(rate.contains(&count), "{what}: {count}");
            let (count, lost) = admitted_by_flapping(mode, down, up, false).await;
            assert!(count <= RATE + (1 + lost) * BURST, "{what}: {count}");
        }
    }
}
