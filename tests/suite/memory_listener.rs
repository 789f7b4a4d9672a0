//! The guarantees of the listeners in `reagent::testing`.

use crate::support::{echo, echoes, stop};
use reagent::{
    Listener, Server, handle,
    testing::{FlakyListener, MemoryListener},
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Waker},
};

fn is_ready(listener: &mut dyn Listener) -> bool {
    let ready = pin!(poll_fn(|cx| listener.poll_ready(cx)));
    ready
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

fn finds_nobody(listener: &mut dyn Listener) -> bool {
    listener
        .try_accept()
        .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn a_plain_one_is_ready_while_a_client_waits() {
    let (mut listener, clients) = MemoryListener::new();
    assert!(!is_ready(&mut listener));
    assert_eq!(listener.pending(), Some(false));
    let _client = clients.connect().await.unwrap();
    assert!(is_ready(&mut listener));
    assert_eq!(listener.pending(), Some(true));
    assert!(listener.try_accept().is_ok());
    assert!(!is_ready(&mut listener));
}

#[tokio::test]
async fn one_like_a_socket_is_ready_whenever_there_may_be_a_client() {
    let (mut listener, clients) = MemoryListener::like_socket();
    // No acceptor has checked the queue yet.
    assert!(is_ready(&mut listener));
    assert!(finds_nobody(&mut listener));
    assert!(!is_ready(&mut listener));

    let mut other = listener.try_clone().unwrap();
    assert!(is_ready(&mut *other));
    assert!(finds_nobody(&mut *other));

    let _client = clients.connect().await.unwrap();
    assert!(is_ready(&mut listener) && is_ready(&mut *other));
    assert_eq!(
        (listener.pending(), other.pending()),
        (Some(true), Some(true))
    );
    assert!(listener.try_accept().is_ok());
    // One has accepted a client and the other was woken for it. To both, it seems that there may be
    // another one.
    for listener in [&mut listener as &mut dyn Listener, &mut *other] {
        assert!(is_ready(listener));
        assert!(finds_nobody(listener));
        assert!(!is_ready(listener));
    }
    // A listener whose `pending` found no client waits as well.
    let mut third = listener.try_clone().unwrap();
    assert!(is_ready(&mut *third));
    assert_eq!(third.pending(), Some(false));
    assert!(!is_ready(&mut *third));
}

#[tokio::test]
async fn one_like_a_socket_serves_all_clients() {
    let (listener, clients) = MemoryListener::like_socket();
    let (listener, script) = FlakyListener::new(listener);
    script.fail_accepts([io::ErrorKind::ConnectionAborted.into()]);
    let server = Server::new(listener)
        .acceptors(3)
        .start(handle(echo))
        .await
        .unwrap();
    for round in 0..20 {
        let mut client = clients.connect().await.unwrap();
        assert!(echoes(&mut client, "hello").await, "in round {round}");
    }
    stop(&server).await;
}
