//! Listeners that are added, paused, limited and closed while the server runs.

mod load;
mod remake;
mod reserve;
mod settings;

use crate::{
    port::Port,
    support::{
        Dir, LONG, Log, beside, connect_to, echo, echoes, rest, serve, settled, soon, stop, unix,
        until,
    },
};
use reagent::{
    Acceptor, Addr, Bind, BoxError, Connection, Error, ErrorChain, Server, handle,
    testing::MemoryListener,
};
use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tower::service_fn;

#[tokio::test]
async fn an_added_listener_is_served_and_a_closed_one_refuses() {
    let log = Log::default();
    let server = Server::bind("127.0.0.1:0").observe(log.clone());
    let server = server.start(handle(echo)).await.unwrap();
    let port = Port::new();
    let added = server.listen(Bind::new(port.addr()).label("second")).await;
    let addr = added.unwrap().pop().unwrap();
    assert_eq!(server.local_addrs().collect::<Vec<_>>()[1], addr);
    assert_ne!(*server.local_addr(), addr);

    let mut client = connect_to(&addr).await;
    assert!(echoes(&mut client, "hello").await);
    let info = server.connections().pop().unwrap();
    assert_eq!(info.listener_addr, addr);
    assert_eq!(info.listener_label.as_deref(), Some("second"));
    let stats = server.stats();
    let [first, second] = &stats.listeners[..] else {
        panic!("{stats:?}");
    };
    assert_eq!((first.open, first.accepted), (0, 0));
    assert_eq!((second.open, second.accepted), (1, 1));
    assert_eq!(second.label.as_deref(), Some("second"));

    assert!(server.close_listener(&addr).await);
    let refused = TcpStream::connect(addr.socket_addr().unwrap()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    assert!(!server.close_listener(&addr).await, "it is gone");
    assert_eq!(server.stats().listeners.len(), 1);

    // Its connections stay, and so do its counts.
    assert!(echoes(&mut client, "still there").await);
    assert_eq!(server.connections()[0].listener_addr, addr);
    drop(client);
    until("the end", || server.connection_count() == 0).await;
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.completed), (1, 1));
    stop(&server).await;
    assert_eq!(log.count("listener started"), 2);
    assert_eq!(log.count("listener stopped"), 2);
    assert_eq!(log.count("acceptor stopped"), 2);
}

#[tokio::test]
async fn a_server_whose_last_listener_was_closed_goes_on() {
    let server = serve("127.0.0.1:0").await;
    let mut client = connect_to(server.local_addr()).await;
    assert!(echoes(&mut client, "hello").await);
    let first = server.local_addr().clone();
    assert!(server.close_listener(&first).await);
    assert_eq!(server.local_addrs().count(), 0);
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    let again = server.listen(&first).await.unwrap();
    assert_eq!(again, [first]);
    assert!(echoes(&mut connect_to(&again[0]).await, "hello").await);
    stop(&server).await;
}

#[tokio::test]
async fn several_addresses_are_added_all_or_none() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let server = serve("127.0.0.1:0").await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let binds = [
        "127.0.0.1:0".to_owned(),
        taken.local_addr().unwrap().to_string(),
    ];
    let error = server.listen(binds).await.unwrap_err();
    assert!(matches!(error, Error::Bind { .. }), "{error:?}");
    assert_eq!(server.local_addrs().count(), 1);
    let both = server.listen(["127.0.0.1:0", "[::1]:0"]).await.unwrap();
    for addr in &both {
        assert!(echoes(&mut connect_to(addr).await, "hello").await);
    }
    let none: [&str; 0] = [];
    assert!(matches!(server.listen(none).await, Err(Error::NoListener)));
    stop(&server).await;
}

#[tokio::test]
async fn an_address_that_the_server_has_is_not_added_again() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let server = Server::bind("127.0.0.1:0")
        .listen(&path)
        .options(|options| options.reuse_port = true)
        .start(handle(echo))
        .await
        .unwrap();
    for addr in server.local_addrs() {
        let error = server.listen(&addr).await.unwrap_err();
        let text = ErrorChain(&error).to_string();
        assert!(text.contains("listens on the address already"), "{text}");
    }
    assert!(path.exists(), "the file is left alone");
    stop(&server).await;
}

#[tokio::test]
async fn a_server_that_drains_adds_no_listener() {
    let server = serve("127.0.0.1:0").await;
    let mut client = connect_to(server.local_addr()).await;
    assert!(echoes(&mut client, "hello").await);
    let drain = beside({
        let server = server.clone();
        async move { server.drain(LONG).await }
    });
    until("the drain", || server.connections()[0].is_draining).await;
    let error = soon(server.listen("127.0.0.1:0")).await.unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error:?}");
    assert!(!drain.is_finished());
    drop(client);
    drain.await.unwrap();
    let error = soon(server.listen("127.0.0.1:0")).await.unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error:?}");
    soon(server.close_listener(server.local_addr())).await;
}

/// Starts a server whose acceptors of the listener `odd` get what `odd` makes.
async fn with_odd<F>(odd: impl Fn() -> F + Clone + Send + 'static) -> reagent::ServerHandle
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let make = service_fn(move |acceptor: Acceptor| {
        let odd = (acceptor.label.as_deref() == Some("odd")).then(&odd);
        async move {
            if let Some(odd) = odd {
                odd.await?;
            }
            Ok::<_, BoxError>(handle(echo))
        }
    });
    Server::bind("127.0.0.1:0").start_make(make).await.unwrap()
}

#[tokio::test]
async fn a_listener_whose_service_cannot_be_made_is_closed_again() {
    let server = with_odd(async || Err("no service for this one".into())).await;
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let binds = [Bind::new(&path), Bind::new("127.0.0.1:0").label("odd")];
    let error = server.listen(binds).await.unwrap_err();
    assert!(matches!(error, Error::Make(_)), "{error:?}");
    assert!(
        ErrorChain(&error)
            .to_string()
            .contains("no service for this one")
    );
    until("the socket to be closed", || !path.exists()).await;
    assert_eq!(server.local_addrs().count(), 1);
    assert_eq!(server.stats().acceptors, 1);
    server.listen(&path).await.unwrap();
    assert!(echoes(&mut UnixStream::connect(&path).await.unwrap(), "hello").await);
    stop(&server).await;
}

#[tokio::test]
async fn a_listener_that_nobody_waits_for_is_closed_again() {
    let server = with_odd(pending).await;
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let listen = server.listen(Bind::new(&path).label("odd"));
    tokio::select! {
        biased;
        _ = listen => panic!("it has no service"),
        () = until("the socket", || path.exists()) => {}
    }
    until("the socket to be closed", || !path.exists()).await;
    assert_eq!(server.local_addrs().count(), 1);
    stop(&server).await;
}

#[tokio::test]
async fn a_listener_that_is_still_being_added_does_not_delay_a_drain() {
    let server = with_odd(pending).await;
    let listen = beside({
        let server = server.clone();
        async move { server.listen(Bind::new("127.0.0.1:0").label("odd")).await }
    });
    tokio::task::yield_now().await;
    stop(&server).await;
    let error = soon(listen).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error:?}");
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("the state of a listener panics when it is dropped");
        }
    }
}

#[tokio::test]
async fn a_state_whose_drop_panics_ends_nothing_but_its_listener() {
    let server = with_odd(async || Err("no service for this one".into())).await;
    let odd = || Bind::new("127.0.0.1:0").label("odd").state(Bomb);
    let error = server.listen([odd(), odd()]).await.unwrap_err();
    assert!(matches!(error, Error::Make(_)), "{error:?}");
    let added = server.listen(Bind::new("127.0.0.1:0").state(Bomb)).await;
    assert!(server.close_listener(&added.unwrap()[0]).await);
    settled().await;
    assert!(echoes(&mut connect_to(server.local_addr()).await, "hello").await);
    stop(&server).await;
}

#[tokio::test]
async fn listeners_that_are_added_as_a_drain_begins_do_not_wait_for_its_end() {
    let server = Server::bind("127.0.0.1:0");
    let server = server
        .start(handle(async |_| pending::<io::Result<()>>().await))
        .await;
    let server = server.unwrap();
    let client = connect_to(server.local_addr()).await;
    until("a connection", || server.connection_count() == 1).await;
    let drain = server.drain(Duration::MAX);
    let listen = async {
        // The supervisor may still follow the first request.
        let add = || server.listen(MemoryListener::new().0);
        tokio::join!(add(), add(), add())
    };
    tokio::select! {
        biased;
        _ = drain => panic!("a connection is open"),
        (first, second, third) = soon(listen) => {
            for added in [first, second, third] {
                let error = added.unwrap_err();
                assert!(matches!(error, Error::Stopped), "{error:?}");
            }
        }
    }
    server.abort();
    server.wait().await.unwrap();
    drop(client);
}

#[tokio::test]
async fn clients_of_a_paused_listener_wait_while_others_are_served() {
    let server = serve(["127.0.0.1:0", "127.0.0.1:0"]).await;
    let [first, second] = &server.local_addrs().collect::<Vec<_>>()[..] else {
        panic!("two addresses");
    };
    assert!(server.pause_listener(second));
    server.settled().await;
    let mut waits = connect_to(second).await;
    assert!(echoes(&mut connect_to(first).await, "hello").await);
    let stats = server.stats();
    assert_eq!(stats.listeners[1].accepted, 0);
    assert!(stats.listeners[1].is_paused && !stats.listeners[0].is_paused);
    // The two pauses are independent.
    server.pause();
    server.resume_listener(second);
    server.settled().await;
    assert_eq!(server.stats().listeners[1].accepted, 0);
    server.resume();
    assert!(echoes(&mut waits, "hello").await);
    drop(waits);
    let other = Addr::Other("elsewhere".into());
    assert!(!server.pause_listener(&other) && !server.resume_listener(&other));
    stop(&server).await;
}

#[tokio::test]
async fn a_closed_listener_serves_the_clients_in_its_queue() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    for bind in ["127.0.0.1:0".to_owned(), unix(&path)] {
        let server = serve([bind.clone(), "127.0.0.1:0".to_owned()]).await;
        let addr = server.local_addr().clone();
        server.pause_listener(&addr);
        server.settled().await;
        let mut tcp = Vec::new();
        let mut local = Vec::new();
        for _ in 0..20 {
            match addr.socket_addr() {
                Some(addr) => tcp.push(TcpStream::connect(addr).await.unwrap()),
                None => local.push(UnixStream::connect(&path).await.unwrap()),
            }
        }
        assert!(soon(server.close_listener(&addr)).await);
        for client in &mut tcp {
            assert!(echoes(client, "hello").await);
        }
        for client in &mut local {
            assert!(echoes(client, "hello").await);
        }
        assert_eq!(server.stats().accepted, 20);
        drop((tcp, local));
        stop(&server).await;
    }
}

#[tokio::test]
async fn a_listener_of_another_kind_is_added_and_closed_too() {
    let server = serve("127.0.0.1:0").await;
    let (listener, clients) = MemoryListener::new();
    let addr = server.listen(listener).await.unwrap().pop().unwrap();
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    assert!(server.close_listener(&addr).await);
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    stop(&server).await;
}

#[tokio::test]
async fn a_connection_of_a_closed_listener_is_drained_with_the_others() {
    let told = Arc::new(AtomicBool::new(false));
    let tell = told.clone();
    let server = Server::bind("127.0.0.1:0")
        .start(handle(move |conn: Connection| {
            let tell = tell.clone();
            async move {
                conn.draining().await;
                tell.store(true, Ordering::Relaxed);
                io::Result::Ok(())
            }
        }))
        .await
        .unwrap();
    let addr = server.local_addr().clone();
    let mut client = connect_to(&addr).await;
    until("the connection", || server.connection_count() == 1).await;
    assert!(server.close_listener(&addr).await);
    assert!(!told.load(Ordering::Relaxed));
    let report = server.drain(LONG).await;
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert!(told.load(Ordering::Relaxed));
    assert!(rest(&mut client).await.unwrap().is_empty());
}
