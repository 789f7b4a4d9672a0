//! Choice by client.

use super::kit::{Network, upstream, upstreams};
use reagent::{Connection, Server, testing::MemoryListener};
use reagent_layers::upstream::{Balance, Key, Upstreams};
use std::{collections::HashMap, net::SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

fn hashing() -> Upstreams<String> {
    let builder = Upstreams::builder().balance(Balance::Hash);
    builder
        .slow_start(std::time::Duration::ZERO)
        .build(upstreams(&NAMES))
}

/// Returns the upstreams of many clients.
async fn places(set: &Upstreams<String>) -> Vec<String> {
    let network = Network::default();
    let mut places = Vec::new();
    for client in 0..10_000_u32 {
        places.push(network.name(set, Key::of(client.to_be_bytes())).await);
    }
    places
}

#[tokio::test(start_paused = true)]
async fn only_the_clients_of_an_upstream_that_leaves_move() {
    let set = hashing();
    let before = places(&set).await;
    set.set(upstreams(&NAMES[1..]));
    let after = places(&set).await;
    let mut heirs = HashMap::<_, usize>::new();
    for (before, after) in before.iter().zip(&after) {
        match &**before {
            "a" => *heirs.entry(after).or_default() += 1,
            _ => assert_eq!(before, after),
        }
    }
    // They were a tenth, and all others have inherited them.
    let moved: usize = heirs.values().sum();
    assert!((900..=1100).contains(&moved), "{moved}");
    assert!(
        heirs.values().all(|moved| (80..=150).contains(moved)),
        "{heirs:?}"
    );
    assert_eq!(heirs.len(), NAMES.len() - 1);
    // It returns, and so do they.
    set.set(upstreams(&NAMES));
    assert_eq!(places(&set).await, before);
}

#[tokio::test(start_paused = true)]
async fn the_numbers_of_clients_have_the_shares_of_the_weights() {
    let set = Upstreams::builder().balance(Balance::Hash);
    let set = set.build([
        upstream("a").weight(3),
        upstream("b").weight(2),
        upstream("c"),
    ]);
    let places = places(&set).await;
    for (name, weight) in [("a", 3), ("b", 2), ("c", 1)] {
        let count = places.iter().filter(|place| *place == name).count();
        let share = places.len() * weight / 6;
        assert!(count.abs_diff(share) <= share / 20, "{name}: {count}");
    }
}

/// Instances of different versions must agree.
#[tokio::test(start_paused = true)]
async fn a_client_has_the_same_upstream_in_every_version() {
    let (network, set) = (Network::default(), hashing());
    let mut places = String::new();
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "alice", "bob", ""] {
        places += &network.name(&set, Key::of(client)).await;
    }
    assert_eq!(places, "jhajde");
}

#[tokio::test]
async fn clients_of_one_ipv6_network_have_one_key() -> Result<(), reagent::BoxError> {
    let (listener, clients) = MemoryListener::new();
    let tell = |mut conn: Connection| async move {
        let key = format!("{:?}", Key::client(&conn));
        conn.write_all(key.as_bytes()).await
    };
    let _server = Server::new(listener).start(reagent::handle(tell)).await?;
    let mut keys = Vec::new();
    let addrs = [
        "[2001:db8::1]:1",
        "[2001:db8::2]:2",
        "[2001:db8:0:1::1]:1",
        "192.0.2.1:1",
    ];
    for addr in addrs {
        let mut key = String::new();
        let addr: SocketAddr = addr.parse()?;
        clients
            .connect_from(addr)
            .await?
            .read_to_string(&mut key)
            .await?;
        keys.push(key);
    }
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
    assert_eq!(keys[3], format!("{:?}", Key::of([192, 0, 2, 1])));
    Ok(())
}
