//! Places over a real `redis-server` that is stopped, killed and cut off.

use super::{
    kit::{CLIENT, Instance, MILLISECOND, SECOND, commands},
    redis_proxy::Proxy,
    redis_server::RedisServer,
};
use crate::support::LONG;
use futures_util::future::join_all;
use reagent_layers::cluster::{Cluster, ClusterBuilder, Lost, Mode, RedisStore};
use tokio::{io::DuplexStream, time::sleep};

/// Short, since these tests run in real time.
const LEASE: std::time::Duration = SECOND.saturating_mul(2);

fn builder() -> ClusterBuilder {
    // A machine under load may take longer than 20 ms for a round trip.
    Cluster::builder("test").lease(LEASE).wait(50 * MILLISECOND)
}

async fn instance(url: &str, builder: ClusterBuilder) -> Instance {
    Instance::start_with(RedisStore::new(url).unwrap(), 5, builder).await
}

async fn three(urls: [&str; 3], builder: ClusterBuilder) -> Vec<Instance> {
    let started = urls.map(|url| instance(url, builder.clone()));
    let instances = join_all(started).await;
    sleep(LEASE + LEASE / 2).await;
    instances
}

/// Waits until the store answers each instance, or does not.
async fn until_reachable(instances: &[Instance], is_reachable: bool) {
    for instance in instances {
        let mut reachable = instance.cluster.reachable();
        let changed = reachable.wait_for(|is| *is == is_reachable);
        tokio::time::timeout(LONG, changed).await.unwrap().unwrap();
    }
}

fn open(instances: &[Instance], ip: &str) -> usize {
    instances.iter().map(|instance| instance.open(ip)).sum()
}

#[tokio::test]
async fn three_hundred_clients_at_three_instances_have_five_places_each() {
    let Some(redis) = RedisServer::start(&[]).await else {
        return;
    };
    let url = redis.url();
    for mode in [Mode::Exact, Mode::Quota] {
        // Clients for whom the store does not decide are refused, so that none exceeds the limit.
        let builder = builder().mode(mode).lost(Lost::Closed).wait(LONG);
        let instances = three([&url; 3], builder).await;
        let ips: Vec<String> = (0..300)
            .map(|n| format!("10.0.{}.{}", n / 250, n % 250))
            .collect();
        let mut held: Vec<DuplexStream> = Vec::new();
        // Under load, the store may be lost for a moment.
        while held.len() < 300 * 5 {
            let attempts = instances
                .iter()
                .flat_map(|instance| ips.iter().map(|ip| instance.connect(ip)));
            held.extend(join_all(attempts).await.into_iter().flatten());
            for ip in &ips {
                assert!(open(&instances, ip) <= 5, "{mode:?}: {ip}");
            }
        }
        // The script is gone, and comes back.
        redis::cmd("SCRIPT")
            .arg("FLUSH")
            .exec(&mut commands(&url))
            .unwrap();
        assert!(instances[0].connect("10.9.0.1").await.is_some());
        for instance in &instances {
            instance.cluster.leave().await;
        }
        drop(held);
        sleep(2 * LEASE).await;
        let keys: usize = redis::cmd("DBSIZE").query(&mut commands(&url)).unwrap();
        assert!(keys <= 1, "{mode:?}: {keys} keys are left");
    }
}

#[tokio::test]
async fn a_stopped_store_holds_nobody_up_and_its_late_commands_do_no_harm() {
    let Some(redis) = RedisServer::start(&[]).await else {
        return;
    };
    let url = redis.url();
    let instances = three([&url; 3], builder().mode(Mode::Exact)).await;
    let held = instances[0].connect_many(CLIENT, 3).await;
    assert_eq!(held.len(), 3);
    redis.signal("STOP");
    // Three connections at once, each of which has to wait in vain: a share is one.
    let attempts = join_all(instances.iter().map(|each| each.connect("192.0.2.2"))).await;
    assert_eq!(attempts.iter().flatten().count(), 3);
    until_reachable(&instances, false).await;
    assert!(instances[1].connect("192.0.2.3").await.is_some());
    redis.signal("CONT");
    until_reachable(&instances, true).await;
    sleep(LEASE).await;
    // What was stuck in the sockets has not replaced what was announced since then.
    assert_eq!(instances[1].connect_many(CLIENT, 5).await.len(), 2);
    assert_eq!(instances[1].connect_many("192.0.2.2", 5).await.len(), 2);
}

#[tokio::test]
async fn a_store_that_is_killed_and_restarted_empty_is_told_what_is_held() {
    let Some(mut redis) = RedisServer::start(&[]).await else {
        return;
    };
    let url = redis.url();
    let instances = three([&url; 3], builder()).await;
    let held = instances[0].connect_many(CLIENT, 4).await;
    assert_eq!(held.len(), 4);
    redis.restart_empty().await;
    until_reachable(&instances, true).await;
    sleep(3 * LEASE).await;
    assert_eq!(instances[1].connect_many(CLIENT, 5).await.len(), 1);
    assert_eq!(instances[1].cluster.stats().instances, 3);
}

#[tokio::test]
async fn an_instance_that_is_cut_off_loses_its_places_after_a_lease() {
    let Some(redis) = RedisServer::start(&[]).await else {
        return;
    };
    let proxy = Proxy::to(redis.addr()).await;
    let (direct, cut) = (redis.url(), proxy.url());
    let instances = three([&cut, &direct, &direct], builder().lost(Lost::Closed)).await;
    let held = instances[0].connect_many(CLIENT, 5).await;
    assert_eq!(held.len(), 5);
    proxy.cut(true);
    assert!(instances[1].connect(CLIENT).await.is_none());
    until_reachable(&instances[..1], false).await;
    sleep(2 * LEASE).await;
    let granted_anew = instances[1].connect_many(CLIENT, 6).await;
    assert_eq!(granted_anew.len(), 5);
    assert!(instances[0].connect("192.0.2.2").await.is_none());
    proxy.cut(false);
    until_reachable(&instances, true).await;
    sleep(LEASE).await;
    assert!(instances[0].connect("192.0.2.2").await.is_some());
    drop(granted_anew);
    sleep(2 * LEASE).await;
    assert!(
        instances[2].connect(CLIENT).await.is_none(),
        "the first instance holds all five"
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_and_is_in_no_debug_output() {
    let Some(redis) = RedisServer::start(&["--requirepass", "s3cret"]).await else {
        return;
    };
    let addr = redis.addr();
    for (user, is_right) in [
        (":s3cret", true),
        ("default:s3cret", true),
        (":wr0ng", false),
    ] {
        let store = RedisStore::new(&format!("redis://{user}@{addr}/0")).unwrap();
        assert!(
            !format!("{store:?}").contains(user.trim_start_matches(':')),
            "{store:?}"
        );
        let builder = builder().lost(Lost::Closed).wait(LONG);
        let instance = Instance::start_with(store, 5, builder).await;
        if is_right {
            assert!(instance.connect(CLIENT).await.is_some());
        } else {
            until_reachable(std::slice::from_ref(&instance), false).await;
            let error = instance.cluster.last_error().unwrap();
            assert!(
                error.contains("WRONGPASS") || error.contains("uthentication"),
                "{error}"
            );
            assert!(!error.contains("wr0ng"));
        }
    }
}

#[test]
fn an_invalid_url_is_an_error() {
    for url in ["", "http://127.0.0.1/", "redis://127.0.0.1:port/"] {
        let error = RedisStore::new(url).unwrap_err();
        assert!(error.to_string().starts_with("invalid store URL"));
    }
}

#[tokio::test]
async fn a_key_that_is_used_for_something_else_is_a_matter_of_its_client() {
    let Some(redis) = RedisServer::start(&[]).await else {
        return;
    };
    let url = redis.url();
    for mode in [Mode::Exact, Mode::Quota] {
        let builder = builder().mode(mode).lost(Lost::Closed).wait(LONG);
        let instance = instance(&url, builder).await;
        redis::cmd("SET")
            .arg("{reagent:test}:per-client:192.0.2.9")
            .arg("something")
            .exec(&mut commands(&url))
            .unwrap();
        let failures = instance.cluster.stats().failures;
        for n in 0..20 {
            assert!(instance.connect("192.0.2.9").await.is_none(), "{mode:?}");
            let other = instance.connect(&format!("10.0.0.{n}")).await;
            assert!(other.is_some(), "{mode:?}, {n}");
        }
        let stats = instance.cluster.stats();
        assert_eq!((stats.is_reachable, stats.failures), (true, failures));
        assert_eq!(stats.refused_without_store, 20, "{mode:?}");
        redis::cmd("DEL")
            .arg("{reagent:test}:per-client:192.0.2.9")
            .exec(&mut commands(&url))
            .unwrap();
        assert!(instance.connect("192.0.2.9").await.is_some(), "{mode:?}");
    }
}
