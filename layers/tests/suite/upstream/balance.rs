//! Shares by load.

use super::kit::{Network, stats, upstream, upstreams};
use reagent_layers::upstream::{Key, Upstreams};
use std::time::Duration;

/// The weights of three upstreams, and their sum.
const WEIGHTS: [(&str, u32); 3] = [("a", 3), ("b", 2), ("c", 1)];
const SUM: u64 = 6;

fn weighted(seed: u64) -> Upstreams<String> {
    let all = WEIGHTS.map(|(name, weight)| upstream(name).weight(weight));
    Upstreams::builder().seed(seed).build(all)
}

#[tokio::test(start_paused = true)]
async fn without_load_the_shares_are_those_of_the_weights() {
    let network = Network::default();
    for seed in 0..20 {
        let set = weighted(seed);
        for _ in 0..600 {
            network.name(&set, Key::none()).await;
        }
        for (name, weight) in WEIGHTS {
            let (total, share) = (stats(&set, name).total, 600 * u64::from(weight) / SUM);
            assert!(total.abs_diff(share) <= 3, "seed {seed}: {name}: {total}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn open_connections_have_the_shares_of_the_weights() {
    let network = Network::default();
    for seed in 0..20 {
        let (set, mut open) = (weighted(seed), Vec::new());
        for _ in 0..600 {
            open.push(network.connect(&set, Key::none()).await.unwrap());
        }
        for (name, weight) in WEIGHTS {
            let (open, share) = (stats(&set, name).open, 100 * weight as usize);
            assert!(
                open.abs_diff(share) <= share / 50,
                "seed {seed}: {name}: {open}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_with_many_open_connections_has_no_more() {
    let set = Upstreams::builder().slow_start(Duration::ZERO);
    let (network, set) = (Network::default(), set.build([upstream("a")]));
    let mut open = Vec::new();
    for _ in 0..50 {
        open.push(network.connect(&set, Key::none()).await.unwrap());
    }
    set.set(upstreams(&["a", "b"]));
    for _ in 0..50 {
        let connected = network.connect(&set, Key::none()).await.unwrap();
        assert_eq!(connected.guard.name(), "b");
        open.push(connected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_of_weight_0_serves_only_if_no_other_can() {
    let network = Network::default();
    let set = Upstreams::new([upstream("backup").weight(0), upstream("a")]);
    for _ in 0..20 {
        assert_eq!(network.name(&set, Key::none()).await, "a");
    }
    set.drain("a");
    assert_eq!(network.name(&set, Key::none()).await, "backup");
}
