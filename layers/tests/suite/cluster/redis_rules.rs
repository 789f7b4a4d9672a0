//! The script in Redis follows the same rules as the store in memory, and copes with many keys.

use super::{kit::commands, redis_server::RedisServer};
use crate::support::LONG;
use reagent_layers::cluster::{Batch, Claim, MemoryStore, RedisStore, Store};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

fn batch(instance: &str, lease: Duration, claims: Vec<Claim>) -> Batch {
    let mut batch = Batch::new("test", instance, lease);
    batch.claims = claims;
    batch
}

/// The same sequence of numbers in every run.
struct Numbers(u32);

impl Numbers {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % bound
    }

    fn claim(&mut self, step: u64) -> Claim {
        let key = self.below(4);
        if self.below(4) == 0 {
            return Claim::Tokens {
                key: format!("rate:{key}"),
                want: self.below(4),
                // So long that no token comes during the test.
                interval: Duration::from_secs(3600),
                burst: 20 + self.below(3),
            };
        }
        Claim::Places {
            key: format!("places:{key}"),
            want: self.below(8),
            hold: self.below(4),
            max: self.below(12),
            // Some are late.
            number: step.saturating_sub(self.below(3).into()),
        }
    }
}

#[tokio::test]
async fn both_stores_grant_the_same() {
    let Some(redis) = RedisServer::start(&[]).await else {
        return;
    };
    let stores: [Box<dyn Store>; 2] = [
        Box::new(RedisStore::new(&redis.url()).unwrap()),
        Box::new(MemoryStore::new()),
    ];
    for (lease, is_learning) in [
        (Duration::from_secs(60), true),
        (Duration::from_secs(3), false),
    ] {
        let cluster = format!("test-{is_learning}");
        if !is_learning {
            for store in &stores {
                let mut first = Batch::new(&cluster, "first", lease);
                first.is_leaving = true;
                store.claim(&first).await.unwrap();
            }
            sleep(lease).await;
        }
        let began = Instant::now();
        let mut numbers = Numbers(7);
        let mut learned = 0;
        for step in 1..400 {
            let instance = format!("instance-{}", numbers.below(3));
            let claims = (0..numbers.below(4)).map(|_| numbers.claim(step)).collect();
            let mut batch = batch(&instance, lease, claims);
            batch.cluster.clone_from(&cluster);
            batch.instances = numbers.below(5) as usize;
            batch.is_leaving = numbers.below(20) == 0;
            let by_redis = stores[0].claim(&batch).await.unwrap();
            let by_memory = stores[1].claim(&batch).await.unwrap();
            if began.elapsed() > lease / 2 {
                // A lease may have ended in one of them only.
                assert!(step > 10, "too slow to compare anything");
                break;
            }
            let what = format!("step {step}, learning: {is_learning}: {batch:?}");
            assert_eq!(by_redis.granted, by_memory.granted, "{what}");
            assert_eq!(by_redis.instances, by_memory.instances, "{what}");
            assert_eq!(by_redis.is_learning, by_memory.is_learning, "{what}");
            learned += u32::from(by_redis.is_learning);
        }
        assert_eq!(learned > 0, is_learning);
    }
}

/// Claims for ten clients, once the nodes are a cluster.
async fn claimed(store: &RedisStore) -> Vec<Option<u32>> {
    let claims = (0..10).map(|n| Claim::Places {
        key: format!("per-client:10.0.0.{n}"),
        want: 1,
        hold: 0,
        max: 5,
        number: 1,
    });
    let batch = batch("one", Duration::from_secs(10), claims.collect());
    let answered = async {
        loop {
            match store.claim(&batch).await {
                Ok(answer) => return answer.granted,
                Err(error) if error.to_string().contains("ClusterDown") => {
                    sleep(Duration::from_millis(20)).await;
                }
                // A script whose keys are in several slots is an error.
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(LONG, answered).await.expect("an answer")
}

/// Starts a node of a cluster that has all slots.
async fn node_with_all_slots() -> Option<RedisServer> {
    let node = RedisServer::start(&["--cluster-enabled", "yes"]).await?;
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    slots.exec(&mut commands(&node.url())).unwrap();
    Some(node)
}

#[tokio::test]
async fn the_keys_of_a_cluster_are_in_one_slot_of_a_redis_cluster() {
    let Some(redis) = node_with_all_slots().await else {
        return;
    };
    let store = RedisStore::new(&redis.url()).unwrap();
    assert_eq!(claimed(&store).await, [Some(1); 10]);
}

#[tokio::test]
async fn a_store_follows_to_the_node_that_has_its_keys() {
    let Some(owner) = node_with_all_slots().await else {
        return;
    };
    let Some(asked) = RedisServer::start(&["--cluster-enabled", "yes"]).await else {
        return;
    };
    let mut cluster_port = redis::cmd("CONFIG");
    cluster_port.arg("GET").arg("cluster-port");
    let (_, port): (String, u16) = cluster_port.query(&mut commands(&owner.url())).unwrap();
    let mut meet = redis::cmd("CLUSTER");
    meet.arg("MEET").arg("127.0.0.1").arg(owner.addr().port());
    meet.arg(port);
    meet.exec(&mut commands(&asked.url())).unwrap();

    let store = RedisStore::new(&asked.url()).unwrap();
    assert_eq!(claimed(&store).await, [Some(1); 10]);
    let keys = |node: &RedisServer| -> usize {
        let mut connection = commands(&node.url());
        redis::cmd("DBSIZE").query(&mut connection).unwrap()
    };
    assert_eq!((keys(&asked), keys(&owner)), (0, 11));
    // It stays with that node, even if the one of its URL is gone.
    drop(asked);
    assert_eq!(claimed(&store).await, [Some(1); 10]);
    // A connection that is lost is made again, at the same node.
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("normal");
    kill.exec(&mut commands(&owner.url())).unwrap();
    let batch = batch("one", Duration::from_secs(10), Vec::new());
    store.claim(&batch).await.expect_err("a lost connection");
    assert_eq!(claimed(&store).await, [Some(1); 10]);
    // Neither can be reached: the next attempt begins at the URL.
    drop(owner);
    store.claim(&batch).await.expect_err("a lost connection");
    store.claim(&batch).await.expect_err("no node");
}

#[tokio::test]
async fn a_hundred_thousand_keys_are_claimed_renewed_and_gone_after_their_lease() {
    const KEYS: usize = 100_000;
    const BATCH: usize = 128;
    let Some(redis) = RedisServer::start(&[]).await else {
        return;
    };
    let store = RedisStore::new(&redis.url()).unwrap().prefix("many");
    let lease = Duration::from_secs(15);
    let mut number = 0;
    for round in ["claimed", "renewed"] {
        let began = Instant::now();
        for first in (0..KEYS).step_by(BATCH) {
            let claims = (first..KEYS.min(first + BATCH)).map(|n| {
                number += 1;
                Claim::Places {
                    key: format!("per-client:10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255),
                    want: 2,
                    hold: 2,
                    max: 5,
                    number,
                }
            });
            let batch = batch("one", lease, claims.collect());
            let answer = store.claim(&batch).await.unwrap();
            assert!(answer.granted.iter().all(|granted| *granted == Some(2)));
        }
        println!("{KEYS} keys {round} in {:?}", began.elapsed());
    }
    let mut connection = commands(&redis.url());
    let keys: usize = redis::cmd("DBSIZE").query(&mut connection).unwrap();
    assert_eq!(keys, KEYS + 1);
    let info: String = redis::cmd("INFO")
        .arg("all")
        .query(&mut connection)
        .unwrap();
    let figures = [
        "used_memory:",
        "total_net_input",
        "total_net_output",
        "cmdstat_evalsha",
    ];
    for line in info
        .lines()
        .filter(|line| figures.iter().any(|name| line.starts_with(name)))
    {
        println!("{line}");
    }
    let key = "{many:test}:per-client:10.0.0.7";
    let ttl: i64 = redis::cmd("PTTL").arg(key).query(&mut connection).unwrap();
    assert!(ttl > 0 && ttl <= 15_000, "{ttl}");
}
