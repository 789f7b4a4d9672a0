//! Limits of upstreams, and the queue.

use super::kit::{MILLISECOND, Mode, Network, SECOND, assert_idle, state, stats, upstream};
use reagent_layers::upstream::{Key, UpstreamState, Upstreams};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::time::{Instant, sleep, timeout};

fn is_pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(future.as_mut().poll(&mut cx), Poll::Pending)
}

#[tokio::test(start_paused = true)]
async fn an_upstream_never_has_more_connections_than_its_limit() {
    let network = Network::default();
    network.set("a", Mode::Takes(SECOND));
    let set = Upstreams::builder().queue(0).build([
        upstream("a").max_connections(3),
        upstream("b").max_connections(5),
    ]);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (network, set) = (network.clone(), set.clone());
        clients.spawn(async move { network.connect(&set, Key::none()).await });
    }
    sleep(MILLISECOND).await;
    // Those that are being made count too.
    assert_eq!((stats(&set, "a").connecting, stats(&set, "b").open), (3, 5));
    let served = clients.join_all().await;
    let refused = served.iter().filter_map(|served| served.as_ref().err());
    assert!(
        refused
            .clone()
            .all(reagent_layers::upstream::UpstreamError::is_overloaded)
    );
    assert_eq!(refused.count(), 12);
    assert_eq!((stats(&set, "a").open, stats(&set, "b").open), (3, 5));
    drop(served);
    assert_idle(&set);
}

#[tokio::test(start_paused = true)]
async fn clients_wait_in_their_order_up_to_the_length_of_the_queue() {
    let network = Network::default();
    let set = Upstreams::builder().queue(3);
    let set = set.build([upstream("a").max_connections(1)]);
    let mut open = network.connect(&set, Key::none()).await.unwrap();
    let wait = || Box::pin(network.connect(&set, Key::none()));
    let mut waiting = [wait(), wait(), wait()];
    for client in &mut waiting {
        assert!(is_pending(client));
    }
    assert_eq!(set.waiting(), 3);
    let error = network.connect(&set, Key::none()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "all upstreams are at their limits, and the queue is full"
    );
    for at in 0..3 {
        drop(open);
        assert!(waiting[at + 1..].iter_mut().all(is_pending));
        open = waiting[at].as_mut().await.unwrap();
        assert_eq!(stats(&set, "a").open, 1);
    }
    drop(open);
    assert_idle(&set);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_the_queue_leaves_its_place_to_the_next() {
    let (network, set) = (
        Network::default(),
        Upstreams::new([upstream("a").max_connections(1)]),
    );
    let open = network.connect(&set, Key::none()).await.unwrap();
    let mut first = Box::pin(network.connect(&set, Key::none()));
    let mut second = Box::pin(network.connect(&set, Key::none()));
    assert!(is_pending(&mut first) && is_pending(&mut second));
    // The first has the place already, and leaves.
    drop(open);
    drop(first);
    let open = timeout(SECOND, second).await.unwrap().unwrap();
    drop(open);
    assert_idle(&set);
}

#[tokio::test(start_paused = true)]
async fn a_client_does_not_wait_for_longer_than_the_limit() {
    let (network, set) = (
        Network::default(),
        Upstreams::new([upstream("a").max_connections(1)]),
    );
    let _open = network.connect(&set, Key::none()).await.unwrap();
    let began = Instant::now();
    let error = network.connect(&set, Key::none()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "all upstreams were at their limits for too long"
    );
    assert_eq!(began.elapsed(), 9 * SECOND);
    assert!(error.is_overloaded());
    assert_eq!(set.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_is_served_by_whatever_has_room_first() {
    let (network, set) = (
        Network::default(),
        Upstreams::new([upstream("a").max_connections(1)]),
    );
    let _open = network.connect(&set, Key::none()).await.unwrap();
    // A higher limit.
    let mut client = Box::pin(network.connect(&set, Key::none()));
    assert!(is_pending(&mut client));
    set.set([upstream("a").max_connections(2)]);
    let _second = client.await.unwrap();
    // A new upstream.
    let mut client = Box::pin(network.connect(&set, Key::none()));
    assert!(is_pending(&mut client));
    set.set([
        upstream("a").max_connections(2),
        upstream("b").max_connections(1),
    ]);
    let third = client.await.unwrap();
    assert_eq!(third.guard.name(), "b");
    // One that is no longer drained.
    set.drain("b");
    drop(third);
    let mut client = Box::pin(network.connect(&set, Key::none()));
    assert!(is_pending(&mut client));
    set.resume("b");
    assert_eq!(client.await.unwrap().guard.name(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_is_served_by_an_upstream_whose_ejection_ends() {
    let network = Network::default();
    let set = Upstreams::builder().timeout(20 * SECOND).build([
        upstream("a").max_connections(1),
        upstream("b").max_connections(1),
    ]);
    network.set("a", Mode::Refuses);
    while state(&set, "a") != UpstreamState::Ejected {
        network.connect(&set, Key::none()).await.unwrap();
    }
    network.set("a", Mode::Serves);
    let _open = network.connect(&set, Key::none()).await.unwrap();
    let began = Instant::now();
    assert_eq!(network.name(&set, Key::none()).await, "a");
    assert!(began.elapsed() <= 10 * SECOND, "{:?}", began.elapsed());
}
