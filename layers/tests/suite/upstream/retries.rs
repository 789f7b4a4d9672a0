//! An upstream that fails, and the next one.

use super::kit::{Mode, Network, SECOND, assert_idle, state, stats, upstreams};
use reagent_layers::upstream::{Key, UpstreamState, Upstreams};
use std::{
    collections::HashSet,
    pin::pin,
    task::{Context, Waker},
};
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt};

const ALL: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test(start_paused = true)]
async fn a_client_is_served_as_long_as_one_of_three_upstreams_is() {
    for (mode, time) in [(Mode::Refuses, 0), (Mode::Hangs, 6)] {
        let (network, set) = (Network::default(), Upstreams::new(upstreams(&ALL[..3])));
        network.set("a", mode);
        network.set("b", mode);
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(network.name(&set, Key::none()).await, "c", "{mode:?}");
        }
        assert!(began.elapsed() <= 100 * time * SECOND);
        assert_idle(&set);
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_first_and_two_others_are_tried() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&ALL)));
    for name in ALL {
        network.set(name, Mode::Refuses);
    }
    let error = network.connect(&set, Key::none()).await.unwrap_err();
    let tried: HashSet<_> = error
        .attempts()
        .iter()
        .map(|attempt| &attempt.upstream)
        .collect();
    assert_eq!((tried.len(), error.attempts().len()), (3, 3));
    let text = error.to_string();
    assert!(text.starts_with("no upstream could be reached: "), "{text}");
    assert!(text.ends_with(": connection refused"), "{text}");
    assert!(!error.is_overloaded());
    assert_idle(&set);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_upstreams_that_all_hang_gets_an_error_in_time() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&ALL)));
    for name in ALL {
        network.set(name, Mode::Hangs);
    }
    let began = Instant::now();
    for _ in 0..5 {
        let began = Instant::now();
        let error = network.connect(&set, Key::none()).await.unwrap_err();
        assert_eq!(began.elapsed(), 9 * SECOND);
        assert_eq!(error.attempts()[0].took, 3 * SECOND);
    }
    assert_eq!(began.elapsed(), 45 * SECOND);
    assert_idle(&set);
}

#[tokio::test(start_paused = true)]
async fn a_set_without_upstreams_is_an_error_at_once() {
    let (network, set) = (Network::default(), Upstreams::new([]));
    let error = network.connect(&set, Key::none()).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no upstream to use");
    set.set(upstreams(&["a"]));
    assert_eq!(network.name(&set, Key::none()).await, "a");
}

#[tokio::test(start_paused = true)]
async fn what_this_machine_lacks_is_no_fault_of_upstreams() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&ALL)));
    for name in ALL {
        network.set(name, Mode::OutOfDescriptors);
    }
    for _ in 0..20 {
        network.connect(&set, Key::none()).await.unwrap_err();
    }
    for name in ALL {
        assert_eq!(state(&set, name), UpstreamState::Up);
        assert!(stats(&set, name).failures > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_the_overall_limit_cuts_short_blames_nobody() {
    let set = Upstreams::builder()
        .timeout(4 * SECOND)
        .attempt_timeout(3 * SECOND);
    let (network, set) = (Network::default(), set.build(upstreams(&["a", "b"])));
    network.set("a", Mode::Hangs);
    network.set("b", Mode::Takes(2 * SECOND));
    // After three seconds at one, there is one second for the other.
    for _ in 0..10 {
        let _ = network.connect(&set, Key::none()).await;
    }
    assert_eq!(state(&set, "b"), UpstreamState::Up);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_at_any_moment_leaves_no_count() {
    let network = Network::default();
    network.set("a", Mode::Takes(SECOND));
    network.set("b", Mode::Hangs);
    network.set("c", Mode::Refuses);
    for tenths in 0..70 {
        let limited = upstreams(&ALL[..3])
            .into_iter()
            .map(|up| up.max_connections(1));
        let set = Upstreams::builder().seed(tenths).build(limited);
        // Three of these have a place or fail, and the others wait in the queue.
        let clients = (0..6).map(|_| Box::pin(network.connect(&set, Key::none())));
        let mut clients: Vec<_> = clients.collect();
        for client in &mut clients {
            let _ = timeout(SECOND / 100, client).await;
        }
        sleep(SECOND / 10 * tenths as u32).await;
        drop(clients);
        assert_idle(&set);
    }
    // Before it was polled, and after its place was given to it but not taken yet.
    let set = Upstreams::new(
        upstreams(&["d"])
            .into_iter()
            .map(|up| up.max_connections(1)),
    );
    drop(network.connect(&set, Key::none()));
    let first = network.connect(&set, Key::none()).await.unwrap();
    {
        let mut second = pin!(network.connect(&set, Key::none()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert_eq!(stats(&set, "d").connecting, 1);
    }
    assert_idle(&set);
}

#[tokio::test(start_paused = true)]
async fn the_service_of_a_set_connects_as_the_set_does() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    let mut service = set.service(network.clone());
    let (one, other) = (service.call(Key::none()), service.call(Key::none()));
    let (one, other) = tokio::join!(one, other);
    assert_eq!(
        (one.unwrap().guard.name(), other.unwrap().guard.name()),
        ("b", "b")
    );
    // Layers of tower fit around it.
    let within = tower::ServiceBuilder::new()
        .timeout(SECOND)
        .service(service);
    network.set("b", Mode::Hangs);
    assert!(
        within
            .oneshot(Key::none())
            .await
            .unwrap_err()
            .is::<tower::timeout::error::Elapsed>()
    );
    assert_idle(&set);
}
