//! `AccessLayer`: the most specific rule decides, bans expire, and both can be changed at run time.

use crate::support::{echo, echoes};
use reagent::{
    Addr, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    Refusal,
    access::{Access, AccessLayer, Bans, Rules},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn admits(rules: Rules, text: &str) -> bool {
    Access::new(rules).check(ip(text)).is_ok()
}

async fn start(access: &Access) -> (ServerHandle, Clients) {
    let (listener, clients) = MemoryListener::new();
    let layer = AccessLayer::new(access.clone());
    (
        Server::new(listener)
            .layer(layer)
            .start(handle(echo))
            .await
            .unwrap(),
        clients,
    )
}

async fn is_served(clients: &Clients, text: &str) -> bool {
    let mut client = clients
        .connect_from(SocketAddr::new(ip(text), 4000))
        .await
        .unwrap();
    echoes(&mut client, "hello").await
}

#[test]
fn no_rules_admit_everybody() {
    assert!(admits(Rules::new(), "192.0.2.1") && admits(Rules::new(), "2001:db8::1"));
}

#[test]
fn an_allowed_network_closes_the_rest() {
    let rules = || {
        Rules::new()
            .allow_all(["10.0.0.0/8", "2001:db8::/32"])
            .unwrap()
    };
    assert!(admits(rules(), "10.1.2.3") && admits(rules(), "2001:db8::1"));
    assert!(!admits(rules(), "11.0.0.1") && !admits(rules(), "2001:db9::1"));
}

#[test]
fn the_most_specific_rule_decides() {
    let rules = || {
        Rules::new()
            .allow_all(["10.0.0.0/8", "10.66.6.0/24"])
            .and_then(|rules| rules.deny_all(["10.66.0.0/16"]))
            .unwrap()
    };
    assert!(admits(rules(), "10.1.2.3"));
    assert!(!admits(rules(), "10.66.2.3"));
    assert!(admits(rules(), "10.66.6.3"));
}

#[test]
fn a_denial_wins_over_an_allowance_of_the_same_in_any_order() {
    let net = ["192.0.2.1"];
    let first = Rules::new().allow_all(net).unwrap().deny_all(net).unwrap();
    let last = Rules::new().deny_all(net).unwrap().allow_all(net).unwrap();
    assert!(!admits(first, "192.0.2.1") && !admits(last, "192.0.2.1"));
}

#[test]
fn an_ipv4_client_in_ipv6_clothes_is_the_same_client() {
    let rules = || Rules::new().deny_all(["192.0.2.0/24"]).unwrap();
    assert!(!admits(rules(), "::ffff:192.0.2.1"));
    let mapped = Rules::new().deny_all(["::ffff:192.0.2.0/120"]).unwrap();
    assert!(!admits(mapped, "192.0.2.1"));
}

#[test]
fn invalid_networks_are_named_in_errors() {
    let error = Rules::new()
        .allow_all(["10.0.0.0/33"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("\"10.0.0.0/33\""), "{error}");
}

#[tokio::test(start_paused = true)]
async fn rules_change_while_the_server_runs() {
    let access = Access::new(Rules::new());
    let (server, clients) = start(&access).await;
    assert!(is_served(&clients, "192.0.2.1").await);
    access.set(Rules::new().deny_all(["192.0.2.0/24"]).unwrap());
    assert!(!is_served(&clients, "192.0.2.1").await);
    assert!(is_served(&clients, "198.51.100.1").await);
    access.set(Rules::new());
    assert!(is_served(&clients, "192.0.2.1").await);
    assert_eq!(server.stats().rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn a_custom_check_runs_for_clients_that_the_rules_admit() {
    let rules = Rules::new()
        .deny_all(["192.0.2.1"])
        .unwrap()
        .check(|connection| connection.peer_addr().ip() != Some(ip("192.0.2.2")));
    let (_server, clients) = start(&Access::new(rules)).await;
    assert!(!is_served(&clients, "192.0.2.1").await);
    assert!(!is_served(&clients, "192.0.2.2").await);
    assert!(is_served(&clients, "192.0.2.3").await);
}

#[tokio::test(start_paused = true)]
async fn clients_without_an_ip_address_are_not_judged_by_one() {
    let access = Access::new(Rules::new().allow_all(["10.0.0.0/8"]).unwrap());
    let (_server, clients) = start(&access).await;
    let mut local = clients.connect_from(Addr::Unix(None)).await.unwrap();
    assert!(echoes(&mut local, "hello").await);
}

#[tokio::test(start_paused = true)]
async fn a_ban_begins_at_once_and_ends_in_time() {
    let access = Access::new(Rules::new());
    let (server, clients) = start(&access).await;
    assert!(is_served(&clients, "192.0.2.1").await);
    access.bans().ban(ip("192.0.2.1"), Duration::from_secs(60));
    assert!(!is_served(&clients, "192.0.2.1").await);
    assert!(is_served(&clients, "192.0.2.2").await);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(!is_served(&clients, "192.0.2.1").await);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(is_served(&clients, "192.0.2.1").await);
    assert!(access.bans().is_empty());
    assert_eq!(server.stats().rejected, 2);
}

#[tokio::test(start_paused = true)]
async fn a_ban_of_an_ipv6_client_is_for_its_network() {
    let bans = Bans::new();
    bans.ban(ip("2001:db8:1:2::1"), Duration::MAX);
    assert!(bans.is_banned(ip("2001:db8:1:2:ffff::9")));
    assert!(!bans.is_banned(ip("2001:db8:1:3::1")));
    assert!(bans.unban(ip("2001:db8:1:2::5")) && bans.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shorter_ban_does_not_cut_a_longer_one() {
    let bans = Bans::new();
    bans.ban(ip("192.0.2.1"), Duration::from_secs(60));
    bans.ban(ip("192.0.2.1"), Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(bans.is_banned(ip("192.0.2.1")));
}

#[tokio::test(start_paused = true)]
async fn the_list_of_bans_is_bounded() {
    let bans = Bans::with_capacity(100);
    for n in 0..10_000_u32 {
        bans.ban(IpAddr::V4(n.into()), Duration::from_secs(60));
    }
    assert_eq!(bans.len(), 100);
    assert!(bans.is_banned(IpAddr::V4(9_999.into())));
    // Expired bans are evicted first.
    tokio::time::advance(Duration::from_secs(61)).await;
    bans.ban(ip("192.0.2.1"), Duration::from_secs(60));
    assert_eq!(bans.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_ban_that_ends_soonest_gives_way() {
    let bans = Bans::with_capacity(100);
    let minute = Duration::from_secs(60);
    bans.ban(ip("192.0.2.1"), 60 * minute);
    for n in 0..10_000_u32 {
        bans.ban(IpAddr::V4(n.into()), minute);
    }
    assert!(bans.is_banned(ip("192.0.2.1")));
    // A full list does not evict longer bans for a shorter one.
    let bans = Bans::with_capacity(2);
    bans.ban(ip("192.0.2.1"), 60 * minute);
    bans.ban(ip("192.0.2.2"), 60 * minute);
    bans.ban(ip("192.0.2.3"), minute);
    assert!(bans.is_banned(ip("192.0.2.1")) && bans.is_banned(ip("192.0.2.2")));
    assert!(!bans.is_banned(ip("192.0.2.3")));
    // An existing ban is still extended.
    bans.ban(ip("192.0.2.1"), 120 * minute);
    bans.ban(ip("192.0.2.3"), 61 * minute);
    assert!(bans.is_banned(ip("192.0.2.1")) && !bans.is_banned(ip("192.0.2.2")));
}

#[tokio::test(start_paused = true)]
async fn a_ban_can_be_of_a_wider_network() {
    let bans = Bans::with_capacity(2).prefixes(24, 48);
    bans.ban(ip("198.51.100.7"), Duration::from_secs(60));
    for n in 0..1000 {
        bans.ban(ip(&format!("2001:db8:1:{n:x}::1")), Duration::from_secs(60));
    }
    assert_eq!(bans.len(), 2);
    assert!(bans.is_banned(ip("2001:db8:1:ffff::1")) && bans.is_banned(ip("198.51.100.9")));
    assert!(bans.unban(ip("198.51.100.1")) && !bans.is_banned(ip("198.51.100.7")));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_ends_its_connection_and_no_other() {
    let foe = Some(ip("192.0.2.1"));
    let rules = Rules::new().check(move |connection| match connection.peer_addr().ip() {
        ip if ip == foe => panic!("of the check"),
        _ => true,
    });
    let (server, clients) = start(&Access::new(rules)).await;
    let mut friend = clients
        .connect_from(SocketAddr::new(ip("192.0.2.2"), 4000))
        .await
        .unwrap();
    assert!(echoes(&mut friend, "hello").await);
    for _ in 0..10 {
        assert!(!is_served(&clients, "192.0.2.1").await);
        assert!(is_served(&clients, "192.0.2.2").await);
    }
    assert!(echoes(&mut friend, "hello").await);
    assert_eq!(server.stats().panicked, 10);
}

#[tokio::test]
async fn a_refusal_is_a_close_a_reset_or_a_message() {
    for (refusal, expected) in [
        (Refusal::Close, Ok(vec![])),
        (Refusal::Reset, Err(std::io::ErrorKind::ConnectionReset)),
        (Refusal::message("not you\n"), Ok(b"not you\n".to_vec())),
    ] {
        let access = Access::new(Rules::new().deny_all(["127.0.0.1"]).unwrap()).refusal(refusal);
        let server = Server::bind("127.0.0.1:0")
            .layer(AccessLayer::new(access))
            .start(handle(echo))
            .await
            .unwrap();
        let addr = server.local_addr().socket_addr().unwrap();
        let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
        let mut bytes = Vec::new();
        let read = client.read_to_end(&mut bytes).await;
        assert_eq!(read.map(|_| bytes).map_err(|error| error.kind()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_message_holds_nothing_for_long() {
    let access = Access::new(Rules::new().deny_all(["192.0.2.1"]).unwrap())
        .refusal(Refusal::message(vec![b'x'; 1024 * 1024]));
    let (server, clients) = start(&access).await;
    let mut client = clients
        .connect_from(SocketAddr::new(ip("192.0.2.1"), 1))
        .await
        .unwrap();
    client.write_all(b"hello").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((server.stats().rejected, server.connection_count()), (1, 0));
}
