//! Resources are never held for a client that does not exist, so that they are available to
//! existing ones.

use crate::support::{connect, echoes, make, served, service, until};
use reagent::{Acceptor, Limit, Observer, Server, ServerHandle, event};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer};

async fn is_served(server: &ServerHandle, address: usize) -> bool {
    let addr = server.local_addrs().nth(address).unwrap();
    served(&addr).await.is_some()
}

const TWO: [&str; 2] = ["127.0.0.1:0", "127.0.0.1:0"];

#[tokio::test]
async fn an_acceptor_whose_stack_is_full_leaves_the_limit_to_another_server() {
    let limit = Limit::new(2);
    let first = Server::bind("127.0.0.1:0").limit(limit.clone());
    let first = first.layer(ConcurrencyLimitLayer::new(1));
    let first = first.start(service()).await.unwrap();
    let second = Server::bind("127.0.0.1:0").limit(limit.clone());
    let second = second.start(service()).await.unwrap();
    let stays = served(first.local_addr()).await.unwrap();
    assert!(is_served(&second, 0).await, "{limit:?}");
    // The same holds while a client waits for that stack.
    let mut waits = connect(first.local_addr()).await;
    assert!(is_served(&second, 0).await, "{limit:?}");
    drop(stays);
    assert!(echoes(&mut waits).await);
}

#[tokio::test]
async fn an_acceptor_whose_rate_is_used_up_leaves_the_limit_to_another_address() {
    let server = Server::bind(TWO).max_connections(1);
    let server = make(server.layer(RateLimitLayer::new(1, Duration::from_secs(600)))).await;
    assert!(is_served(&server, 0).await);
    assert!(is_served(&server, 1).await);
}

#[tokio::test]
async fn a_place_in_the_stack_is_not_kept_for_nobody() {
    let server = make(Server::bind(TWO).layer(GlobalConcurrencyLimitLayer::new(1))).await;
    for address in [1, 0, 1, 1, 0, 0] {
        assert!(is_served(&server, address).await);
    }
}

#[tokio::test]
async fn a_limit_and_a_stack_do_not_wait_for_each_other() {
    let server = Server::bind(TWO).max_connections(1);
    let server = make(server.layer(GlobalConcurrencyLimitLayer::new(1))).await;
    for address in [1, 0, 1, 1, 0, 0] {
        assert!(is_served(&server, address).await);
    }
}

/// Counts the alarms of a limit.
#[derive(Clone, Default)]
struct Alarms(Arc<[AtomicUsize; 2]>);

impl Alarms {
    fn count(&self) -> (usize, usize) {
        (self.0[0].load(SeqCst), self.0[1].load(SeqCst))
    }
}

impl Observer for Alarms {
    fn limit_reached(&self, _: &Acceptor) {
        self.0[0].fetch_add(1, SeqCst);
    }

    fn limit_waited(&self, _: &event::LimitWaited<'_>) {
        self.0[1].fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn a_limit_that_nobody_waits_for_is_not_reached() {
    let alarms = Alarms::default();
    let server = Server::bind("127.0.0.1:0")
        .max_connections(1)
        .observe(alarms.clone())
        .start(service())
        .await
        .unwrap();
    for _ in 0..3 {
        assert!(is_served(&server, 0).await);
        until("it has left", || server.connection_count() == 0).await;
    }
    assert_eq!(alarms.count(), (0, 0));
    let first = served(server.local_addr()).await.unwrap();
    let mut second = connect(server.local_addr()).await;
    until("the limit is reached", || alarms.count() == (1, 0)).await;
    drop(first);
    assert!(echoes(&mut second).await);
    assert_eq!(alarms.count(), (1, 1));
}
