//! Sets that change.

use super::kit::{Mode, Network, SECOND, state, stats, upstream, upstreams};
use reagent_layers::upstream::{Driver, Key, Upstream, UpstreamState, Upstreams};
use std::sync::{Arc, Mutex};
use tokio::{task::JoinHandle, time::sleep};

#[tokio::test(start_paused = true)]
async fn upstreams_that_stay_keep_what_is_known_of_them() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    while state(&set, "a") != UpstreamState::Ejected {
        network.connect(&set, Key::none()).await.unwrap();
    }
    let open = network.connect(&set, Key::none()).await.unwrap();
    let before = set.stats();
    set.set([upstream("b").weight(5), upstream("a"), upstream("c")]);
    let after = set.stats();
    assert_eq!(after[0], before[0]);
    assert_eq!((after[1].open, after[1].weight), (1, 5));
    assert_eq!(after[1].total, before[1].total);
    assert_eq!(
        (&*after[2].name, after[2].state),
        ("c", UpstreamState::SlowStart)
    );
    drop(open);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_removed_is_shown_until_its_connections_have_ended() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a"])));
    let open = network.connect(&set, Key::none()).await.unwrap();
    set.set(upstreams(&["b"]));
    assert_eq!(
        (stats(&set, "a").open, state(&set, "a")),
        (1, UpstreamState::Removed)
    );
    for _ in 0..10 {
        assert_eq!(network.name(&set, Key::none()).await, "b");
    }
    assert!(!set.drain("a"));
    drop(open);
    assert_eq!(set.stats().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_returns_before_its_connections_have_ended_is_the_same() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    let mut open = Vec::new();
    while stats(&set, "a").open == 0 {
        open.push(network.connect(&set, Key::none()).await.unwrap());
    }
    set.set(upstreams(&["b"]));
    set.set(upstreams(&["a", "b"]));
    assert_eq!(
        (stats(&set, "a").open, state(&set, "a")),
        (1, UpstreamState::Up)
    );
    drop(open);
    assert_eq!(stats(&set, "a").open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_drained_upstream_keeps_its_connections_and_gets_no_more() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(network.connect(&set, Key::none()).await.unwrap());
    }
    assert!(set.drain("a"));
    for _ in 0..10 {
        assert_eq!(network.name(&set, Key::none()).await, "b");
    }
    assert_eq!(
        (stats(&set, "a").open, state(&set, "a")),
        (5, UpstreamState::Drained)
    );
    // Not even if no other serves.
    network.set("b", Mode::Refuses);
    let error = network.connect(&set, Key::none()).await.unwrap_err();
    assert_eq!(error.attempts().len(), 1);
    assert!(set.drain("b"));
    let error = network.connect(&set, Key::none()).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no upstream to use");
    assert!(set.resume("a"));
    assert_eq!(network.name(&set, Key::none()).await, "a");
    assert!(!set.drain("c"));
}

#[tokio::test]
async fn a_weight_lasts_until_the_upstreams_are_set_again() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    assert!(set.set_weight("a", 0));
    assert!(!set.set_weight("c", 0));
    for _ in 0..10 {
        assert_eq!(network.name(&set, Key::none()).await, "b");
    }
    set.set(upstreams(&["a", "b"]));
    assert_eq!(stats(&set, "a").weight, 1);
}

#[tokio::test(start_paused = true)]
async fn the_target_of_an_upstream_can_change() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a"])));
    network.set("a", Mode::Refuses);
    network.connect(&set, Key::none()).await.unwrap_err();
    set.set([Upstream::new("a", "elsewhere".to_owned())]);
    assert_eq!(network.name(&set, Key::none()).await, "a");
    assert_eq!(network.dialled("elsewhere"), 1);
    assert_eq!(stats(&set, "a").failures, 1);
}

#[tokio::test(start_paused = true)]
async fn figures_say_for_how_long_an_upstream_is_in_its_state() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a"])));
    sleep(5 * SECOND).await;
    network.name(&set, Key::none()).await;
    assert_eq!(stats(&set, "a").since, 5 * SECOND);
    set.drain("a");
    sleep(SECOND).await;
    assert_eq!(stats(&set, "a").since, SECOND);
}

#[expect(clippy::disallowed_methods, reason = "the program spawns the driver")]
fn run(driver: Driver) -> JoinHandle<()> {
    tokio::spawn(driver)
}

#[tokio::test(start_paused = true)]
async fn a_set_follows_its_source_and_keeps_its_upstreams_if_that_fails() {
    let set = Upstreams::<String>::new([]);
    let answers = [
        Some(upstreams(&["a", "b"])),
        None,
        Some(Vec::new()),
        Some(upstreams(&["b", "c"])),
    ];
    let mut answers = answers.into_iter();
    // The last answer never comes.
    let source = move || {
        let answer = answers.next();
        async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    };
    let driver = run(set.follow(10 * SECOND, source));
    for expected in ["a b", "a b", "a b", "b c", "b c", "b c"] {
        sleep(SECOND).await;
        let names: Vec<_> = set
            .stats()
            .iter()
            .map(|stats| stats.name.to_string())
            .collect();
        assert_eq!(names.join(" "), expected);
        sleep(9 * SECOND).await;
    }
    // It ends with the set, at once.
    drop(set);
    tokio::time::timeout(SECOND / 1000, driver)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_has_returned_nothing_and_is_asked_again() {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let seen = panics.clone();
    let set = Upstreams::builder()
        .on_panic(move |panic| seen.lock().unwrap().push(panic.to_owned()))
        .build(upstreams(&["a"]));
    let mut asked = 0;
    let source = move || {
        asked += 1;
        assert_ne!(asked, 1, "the first");
        async move {
            assert_ne!(asked, 2, "the second");
            Some(upstreams(&["b"]))
        }
    };
    let _driver = run(set.follow(10 * SECOND, source));
    sleep(15 * SECOND).await;
    assert_eq!(set.stats()[0].name.as_ref(), "a");
    sleep(10 * SECOND).await;
    assert_eq!(set.stats()[0].name.as_ref(), "b");
    let panics = panics.lock().unwrap();
    assert_eq!(panics.len(), 2);
    for (panic, which) in panics.iter().zip(["the first", "the second"]) {
        let begin = "the source of upstreams panicked: ";
        assert!(panic.starts_with(begin) && panic.contains(which), "{panic}");
    }
}
