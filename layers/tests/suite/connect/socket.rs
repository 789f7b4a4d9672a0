//! The options of the sockets.

use super::places::{at, connect, in_time, listener, name, socket, to};
use reagent::Keepalive;
use reagent_layers::connect::{Connect, ConnectErrorKind};
use std::{io, net::Ipv6Addr, time::Duration};

#[tokio::test]
async fn options_are_set_on_the_socket() {
    let (_listener, port) = listener().await;
    let io = connect(&Connect::new(), at(1, port)).await.unwrap();
    assert!(socket(&io).tcp_nodelay().unwrap(), "the default");
    assert!(!socket(&io).keepalive().unwrap());

    let mut keepalive = Keepalive::after(Duration::from_millis(61_500));
    keepalive.interval = Some(Duration::from_secs(7));
    keepalive.retries = Some(3);
    let connector = Connect::new()
        .nodelay(false)
        .keepalive(keepalive)
        .tos(0x28)
        .before_connect(|socket| socket.set_recv_buffer_size(10_000));
    let io = connect(&connector, at(1, port)).await.unwrap();
    let socket = socket(&io);
    assert!(!socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    let idle = socket.tcp_keepalive_time().unwrap();
    assert_eq!(idle, Duration::from_secs(62), "rounded up");
    let interval = socket.tcp_keepalive_interval().unwrap();
    assert_eq!(interval, Duration::from_secs(7));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(socket.tos_v4().unwrap(), 0x28);
    // The kernel doubles it.
    assert_eq!(socket.recv_buffer_size().unwrap(), 20_000);
}

#[tokio::test]
async fn a_mark_is_set_or_its_absence_is_an_error() {
    let (_listener, port) = listener().await;
    match connect(&Connect::new().mark(7), at(1, port)).await {
        Ok(io) => assert_eq!(socket(&io).mark().unwrap(), 7),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("cannot set SO_MARK"), "{text}");
            crate::skipped::skipped("no CAP_NET_ADMIN");
        }
    }
}

#[tokio::test]
async fn connections_come_from_the_source_address() {
    let (listener, port) = listener().await;
    let connector = to([at(1, port)]).source(at(9, 0).ip());
    let io = connect(&connector, name(port)).await.unwrap();
    let (_, client) = in_time(listener.accept()).await.unwrap();
    assert_eq!(client.ip(), at(9, 0).ip());
    assert_eq!(io.local_addr().unwrap(), client);
}

/// An upstream that admits only the source address would refuse any other one.
#[tokio::test]
async fn a_family_without_a_source_address_is_not_used() {
    let (listener, port) = listener().await;
    let v6 = (Ipv6Addr::LOCALHOST, port).into();
    let connector = to([v6, at(1, port)]).source(at(9, 0).ip());
    let io = connect(&connector, name(port)).await.unwrap();
    assert_eq!(*io.peer_addr(), at(1, port));
    in_time(listener.accept()).await.unwrap();

    let connector = to([at(1, port)]).source(Ipv6Addr::LOCALHOST.into());
    let error = connect(&connector, name(port)).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("the source address ::1 is of the other family"),
        "{text}"
    );
    let both = connector.source(at(9, 0).ip());
    assert!(connect(&both, name(port)).await.is_ok());
}

#[tokio::test]
async fn an_option_that_cannot_be_set_fails_the_attempt() {
    let (_listener, port) = listener().await;
    let hook = |_: &socket2::SockRef<'_>| Err(io::Error::other("no such option"));
    let connector = Connect::new().before_connect(hook);
    let error = connect(&connector, at(1, port)).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Connect);
    let text = error.to_string();
    assert!(
        text.contains("the `before_connect` hook failed: no such option"),
        "{text}"
    );

    let connector = Connect::new().source([192, 0, 2, 1].into());
    let error = connect(&connector, at(1, port)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot bind to 192.0.2.1: "), "{text}");
}
