//! Several addresses of one name.

use super::places::{Opened, Silent, at, connect, in_time, listener, name, to};
use crate::port::Port;
use reagent_layers::connect::{Connect, ConnectErrorKind};
use std::{io::ErrorKind, net::Ipv6Addr, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use tower::ServiceExt;

/// Without a race, the kernel would repeat the attempt for two minutes.
#[tokio::test]
async fn a_name_whose_first_address_is_silent_is_reached() {
    let claimed = Port::new();
    let port = claimed.number();
    let listener = TcpListener::bind(claimed.addr()).await.unwrap();
    let silent = [Silent::new(at(2, port)), Silent::new(at(3, port))];
    let opened = Opened::default();
    let addrs = [silent[0].addr, silent[1].addr, at(1, port)];
    let io = connect(&opened.by(to(addrs)), name(port)).await.unwrap();
    assert_eq!(*io.peer_addr(), at(1, port));
    in_time(listener.accept()).await.unwrap();
    assert_eq!(opened.count(), 3);
    assert_eq!(opened.still(), 1, "the losers are closed");
}

/// If each refusal were waited for, this would take longer than a test may.
#[tokio::test]
async fn a_refusal_is_followed_by_the_next_address_at_once() {
    let claimed = Port::new();
    let port = claimed.number();
    let _listener = TcpListener::bind(claimed.addr()).await.unwrap();
    let silent = Silent::new(at(99, port));
    let mut addrs: Vec<_> = (2..62).map(|last| at(last, port)).collect();
    addrs.insert(0, silent.addr);
    addrs.push(at(1, port));
    let connector = to(addrs).attempt_delay(Duration::from_millis(500));
    let io = connect(&connector.max_addresses(99), name(port)).await;
    assert_eq!(*io.unwrap().peer_addr(), at(1, port));
}

#[tokio::test]
async fn the_families_take_turns() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let port = Port::new();
    let addr = port.at(Ipv6Addr::LOCALHOST);
    let _v6 = TcpListener::bind(addr).await.unwrap();
    // The second address of IPv4 would answer too, but the first of IPv6 comes before it.
    let second = TcpListener::bind(at(3, addr.port())).await.unwrap();
    let silent = Silent::new(at(2, addr.port()));
    let opened = Opened::default();
    let addrs = [silent.addr, second.local_addr().unwrap(), addr];
    let io = connect(&opened.by(to(addrs)), name(addr.port())).await;
    assert_eq!(*io.unwrap().peer_addr(), addr);
    assert_eq!(opened.count(), 2);
}

#[tokio::test]
async fn an_attempt_has_a_limit_of_its_own() {
    let silent = Silent::new(at(2, 0));
    let connector = to([silent.addr]).attempt_timeout(Duration::from_millis(50));
    let error = connect(&connector, name(silent.addr.port()))
        .await
        .unwrap_err();
    assert!(!error.is_timeout());
    assert_eq!(error.kind(), ConnectErrorKind::Connect);
    assert_eq!(error.attempts()[0].error().kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn every_address_is_in_the_error_with_its_own() {
    let claimed = Port::new();
    let port = claimed.number();
    let silent = Silent::new(at(2, port));
    let connector = to([silent.addr, at(3, port)]).timeout(Duration::from_millis(600));
    let error = connect(&connector, name(port)).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(error.io_kind(), ErrorKind::TimedOut);
    let attempts = error.attempts().iter();
    let attempts: Vec<_> = attempts.map(|a| (a.addr(), a.error().kind())).collect();
    assert_eq!(attempts.len(), 2);
    assert_eq!(*attempts[0].0, silent.addr);
    assert_eq!(attempts[0].1, ErrorKind::TimedOut);
    assert_eq!(attempts[1].1, ErrorKind::ConnectionRefused);
    let message = error.to_string();
    for part in [
        format!("cannot connect to upstream.test:{port} within"),
        format!("127.0.0.2:{port}: no answer after"),
        format!("; 127.0.0.3:{port}: Connection refused"),
    ] {
        assert!(message.contains(&part), "{message}");
    }
}

#[tokio::test]
async fn no_more_addresses_are_tried_than_allowed() {
    let opened = Opened::default();
    let addrs: Vec<_> = (2..30).map(|last| at(last, 1)).collect();
    let connector = opened.by(to(addrs));
    let error = connect(&connector.clone(), name(1)).await.unwrap_err();
    assert_eq!((error.attempts().len(), opened.count()), (16, 16));
    let error = connect(&connector.max_addresses(3), name(1)).await;
    assert_eq!(error.unwrap_err().attempts().len(), 3);
}

#[tokio::test]
async fn a_future_that_is_dropped_closes_what_it_has_opened() {
    let silent = [Silent::new(at(2, 0))];
    let opened = Opened::default();
    let connector = opened.by(to([silent[0].addr]));
    let connecting = connector.oneshot(name(silent[0].addr.port()));
    let ended = timeout(Duration::from_millis(50), connecting).await;
    assert!(ended.is_err());
    assert_eq!((opened.count(), opened.still()), (1, 0));
}

#[tokio::test]
async fn a_name_without_addresses_is_an_error_of_its_own() {
    let error = connect(&to([]), name(80)).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Resolve);
    assert_eq!(
        reagent::ErrorChain(&error).to_string(),
        "cannot resolve upstream.test:80: the name did not resolve to any address"
    );
}

#[tokio::test]
async fn the_system_resolves_names_and_scopes() {
    let (_listener, port) = listener().await;
    let connector = Connect::new();
    let io = connect(&connector, name_of("localhost", port))
        .await
        .unwrap();
    assert_eq!(*io.peer_addr(), at(1, port));
    let error = connect(&connector, name_of("fe80::1%lo", port)).await;
    let error = error.unwrap_err();
    // The interface is known, and nobody has this address.
    assert_eq!(error.kind(), ConnectErrorKind::Connect, "{error}");
    let error = connect(&connector, name_of("fe80::1%nothing", port)).await;
    assert_eq!(error.unwrap_err().kind(), ConnectErrorKind::Resolve);
}

fn name_of(host: &str, port: u16) -> reagent_layers::connect::Target {
    reagent_layers::connect::Target::host(host, port).unwrap()
}
