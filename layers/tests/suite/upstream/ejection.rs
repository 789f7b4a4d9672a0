//! Upstreams that fail in a row.

use super::kit::{Mode, Network, SECOND, assert_idle, state, stats, upstreams};
use reagent_layers::upstream::{Ejection, Key, StateChange, UpstreamState, Upstreams};
use std::sync::{Arc, Mutex};
use tokio::time::sleep;

/// Connects until the upstream is ejected.
async fn until_ejected(network: &Network, set: &Upstreams<String>, name: &str) {
    for _ in 0..100 {
        if state(set, name) == UpstreamState::Ejected {
            return;
        }
        network.connect(set, Key::none()).await.unwrap();
    }
    panic!("{name} is {}", state(set, name));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_is_ejected_after_three_failures_in_a_row() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    until_ejected(&network, &set, "a").await;
    assert_eq!(stats(&set, "a").failures, 3);
    assert_eq!(
        stats(&set, "a").last_error.as_deref(),
        Some("connection refused")
    );
    for _ in 0..50 {
        assert_eq!(network.name(&set, Key::none()).await, "b");
    }
    assert_eq!(network.dialled("a"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_row() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    for _ in 0..20 {
        network.set("a", Mode::Refuses);
        let failures = stats(&set, "a").failures + 2;
        while stats(&set, "a").failures < failures {
            network.connect(&set, Key::none()).await.unwrap();
        }
        network.set("a", Mode::Serves);
        while network.name(&set, Key::none()).await != "a" {}
    }
    assert_eq!(state(&set, "a"), UpstreamState::Up);
}

#[tokio::test(start_paused = true)]
async fn it_returns_for_one_connection_and_is_ejected_for_longer_if_that_fails() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    until_ejected(&network, &set, "a").await;
    for times in [1, 2, 3, 4] {
        sleep(10 * times * SECOND - SECOND / 10).await;
        assert_eq!(state(&set, "a"), UpstreamState::Ejected, "{times}");
        sleep(SECOND / 10).await;
        assert_eq!(state(&set, "a"), UpstreamState::Trial, "{times}");
        let failures = stats(&set, "a").failures;
        until_ejected(&network, &set, "a").await;
        assert_eq!(stats(&set, "a").failures, failures + 1);
    }
    // It never takes longer than the longest time.
    for _ in 0..40 {
        sleep(300 * SECOND).await;
        assert_eq!(state(&set, "a"), UpstreamState::Trial);
        until_ejected(&network, &set, "a").await;
    }
    // It serves again, and after as long a time, its history is forgotten.
    network.set("a", Mode::Serves);
    sleep(300 * SECOND).await;
    while network.name(&set, Key::none()).await != "a" {}
    assert_eq!(state(&set, "a"), UpstreamState::SlowStart);
    sleep(500 * SECOND).await;
    assert_eq!(state(&set, "a"), UpstreamState::Up);
    network.set("a", Mode::Refuses);
    until_ejected(&network, &set, "a").await;
    sleep(10 * SECOND).await;
    assert_eq!(state(&set, "a"), UpstreamState::Trial);
}

#[tokio::test(start_paused = true)]
async fn no_ejection_is_longer_than_the_longest_time() {
    let ejection = Ejection::new().time(10 * SECOND, 25 * SECOND);
    let set = Upstreams::builder().ejection(ejection);
    let (network, set) = (Network::default(), set.build(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    for seconds in [10, 20, 25, 25, 25] {
        until_ejected(&network, &set, "a").await;
        sleep(seconds * SECOND - SECOND / 10).await;
        assert_eq!(state(&set, "a"), UpstreamState::Ejected, "{seconds}");
        sleep(SECOND / 10).await;
        assert_eq!(state(&set, "a"), UpstreamState::Trial, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_on_trial_has_one_connection_at_a_time() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    until_ejected(&network, &set, "a").await;
    network.set("a", Mode::Takes(SECOND));
    sleep(10 * SECOND).await;
    let dialled = network.dialled("a");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (network, set) = (network.clone(), set.clone());
        clients.spawn(async move { network.connect(&set, Key::none()).await.unwrap() });
    }
    sleep(SECOND / 2).await;
    assert_eq!(network.dialled("a"), dialled + 1);
    let open = clients.join_all().await;
    assert_eq!(state(&set, "a"), UpstreamState::SlowStart);
    drop(open);
    assert_idle(&set);
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_grows_from_a_tenth_to_the_whole() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    until_ejected(&network, &set, "a").await;
    network.set("a", Mode::Serves);
    sleep(10 * SECOND).await;
    let mut shares = Vec::new();
    for _ in 0..6 {
        let before = stats(&set, "a").total;
        for _ in 0..1100 {
            network.name(&set, Key::none()).await;
        }
        shares.push(stats(&set, "a").total - before);
        sleep(2 * SECOND).await;
    }
    // 0.1 / 1.1, 0.2 / 1.2, 0.4 / 1.4, ...
    let expected = [100, 183, 314, 412, 488, 550];
    let is_near = |(share, expected): (&u64, u64)| share.abs_diff(expected) <= 5;
    assert!(shares.iter().zip(expected).all(is_near), "{shares:?}");
    assert_eq!(state(&set, "a"), UpstreamState::Up);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_share_is_ejected_and_never_the_last() {
    let names = ["a", "b", "c", "d", "e", "f"];
    for (share, most) in [(0.0, 1), (0.5, 3), (1.0, 5)] {
        let ejection = Ejection::new().max_share(share);
        let set = Upstreams::builder().ejection(ejection).retries(9);
        let (network, set) = (Network::default(), set.build(upstreams(&names)));
        for name in names {
            network.set(name, Mode::Refuses);
        }
        for _ in 0..100 {
            network.connect(&set, Key::none()).await.unwrap_err();
            let ejected = names
                .iter()
                .filter(|name| state(&set, name) == UpstreamState::Ejected);
            assert!(ejected.count() <= most, "{share}");
        }
        let ejected = names
            .iter()
            .filter(|name| state(&set, name) == UpstreamState::Ejected);
        assert_eq!(ejected.count(), most, "{share}");
    }
}

#[tokio::test(start_paused = true)]
async fn ejection_can_be_turned_off() {
    let set = Upstreams::builder().ejection(Ejection::new().failures(0));
    let (network, set) = (Network::default(), set.build(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    for _ in 0..50 {
        network.connect(&set, Key::none()).await.unwrap();
    }
    assert_eq!(state(&set, "a"), UpstreamState::Up);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_fails_what_it_accepts_is_ejected_too() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    let mut failed = 0;
    while failed < 3 {
        let connected = network.connect(&set, Key::none()).await.unwrap();
        if connected.guard.name() == "a" {
            connected.guard.failed("reset before the first byte");
            failed += 1;
        }
    }
    assert_eq!(state(&set, "a"), UpstreamState::Ejected);
    let error = stats(&set, "a").last_error;
    assert_eq!(error.as_deref(), Some("reset before the first byte"));
    assert_idle(&set);
}

#[tokio::test(start_paused = true)]
async fn if_all_others_are_out_those_that_are_not_believed_to_serve_are_tried() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    until_ejected(&network, &set, "a").await;
    network.set("a", Mode::Serves);
    network.set("b", Mode::Refuses);
    assert_eq!(network.name(&set, Key::none()).await, "a");
}

#[tokio::test(start_paused = true)]
async fn changes_of_states_are_reported_once_each() {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let log = changes.clone();
    let on_change = move |change: &StateChange| {
        let StateChange { name, from, to, .. } = change;
        log.lock().unwrap().push(format!("{name} {from} {to}"));
    };
    let set = Upstreams::builder().on_change(on_change);
    let (network, set) = (Network::default(), set.build(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    until_ejected(&network, &set, "a").await;
    network.set("a", Mode::Serves);
    sleep(10 * SECOND).await;
    while network.name(&set, Key::none()).await != "a" {}
    sleep(10 * SECOND).await;
    set.drain("b");
    set.drain("b");
    set.resume("b");
    let expected = [
        "a up ejected",
        "a ejected trial",
        "a trial slow_start",
        "a slow_start up",
        "b up drained",
        "b drained up",
    ];
    assert_eq!(*changes.lock().unwrap(), expected);
}
