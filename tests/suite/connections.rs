//! What connections know about themselves, and how handles list, observe and close them.

use crate::{
    port::Port,
    support::{
        beside, connect, echo, echoes, memory_server, rest, settled, soon, tcp_server, until,
    },
};
use reagent::{
    Addr, Connection, ConnectionService, Outcome, Phase, Rejected, Server, ServerHandle, handle,
    testing::{self, Clients},
};
use std::{
    future::{pending, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::Poll,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, DuplexStream},
    net::TcpStream,
    sync::mpsc,
};

/// A handler that sends its connections to the test.
fn giving() -> (
    impl ConnectionService + Clone,
    mpsc::UnboundedReceiver<Connection>,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let service = handle(move |conn: Connection| {
        let _ = sender.send(conn);
        async { io::Result::Ok(()) }
    });
    (service, receiver)
}

/// A connection whose handler has returned, held by the test.
struct Held {
    server: ServerHandle,
    clients: Clients,
    client: DuplexStream,
    conn: Connection,
}

async fn held(change: impl FnOnce(Server) -> Server) -> Held {
    let (server, clients, _) = memory_server();
    let (service, mut given) = giving();
    let server = change(server).start(service).await.unwrap();
    let client = clients.connect().await.unwrap();
    let conn = soon(given.recv()).await.unwrap();
    until("its handler is done", || {
        conn.handle().phase() == Phase::Detached
    })
    .await;
    Held {
        server,
        clients,
        client,
        conn,
    }
}

/// The same over TCP.
async fn held_tcp() -> (ServerHandle, TcpStream, Connection) {
    let (server, _) = tcp_server();
    let (service, mut given) = giving();
    let server = server.start(service).await.unwrap();
    let client = connect(&server).await;
    let conn = soon(given.recv()).await.unwrap();
    (server, client, conn)
}

#[tokio::test]
async fn what_the_server_shares_is_found_by_its_type() {
    #[derive(Debug, PartialEq)]
    struct Config(&'static str);
    struct Absent;

    let Held { conn, .. } = held(|server| server.state(Config("first")).state(7_u32)).await;
    assert_eq!(conn.state::<Config>(), Some(&Config("first")));
    assert_eq!(conn.state::<u32>(), Some(&7));
    assert!(conn.state::<Absent>().is_none());

    let Held { conn, .. } = held(|server| server).await;
    assert!(conn.state::<Config>().is_none());
}

#[tokio::test]
async fn all_connections_share_one_state() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .state(AtomicUsize::new(0))
        .start(handle(|mut conn: Connection| async move {
            let seen = conn
                .state::<AtomicUsize>()
                .unwrap()
                .fetch_add(1, Ordering::Relaxed);
            conn.write_u8(seen as u8).await
        }))
        .await
        .unwrap();
    for expected in 0..3 {
        let mut client = clients.connect().await.unwrap();
        assert_eq!(soon(client.read_u8()).await.unwrap(), expected);
        accepted.outcome().await;
    }
}

#[tokio::test]
async fn extensions_hold_one_value_of_each_type() {
    #[derive(Clone, Debug, PartialEq)]
    struct User(&'static str);

    let Held { mut conn, .. } = held(|server| server).await;
    assert!(conn.extensions().is_empty());
    let extensions = conn.extensions_mut();
    assert_eq!(extensions.insert(User("ann")), None);
    assert_eq!(extensions.insert(User("bob")), Some(User("ann")));
    assert_eq!(extensions.insert(3_u8), None);
    *extensions.get_mut::<u8>().unwrap() += 1;
    let clone = extensions.clone();
    assert_eq!(extensions.remove::<User>(), Some(User("bob")));
    assert_eq!(extensions.remove::<User>(), None);
    assert_eq!(extensions.get::<User>(), None);
    assert_eq!(conn.extensions().get::<u8>(), Some(&4));
    // A clone is independent from then on.
    assert_eq!(clone.get::<User>(), Some(&User("bob")));
    assert!(!format!("{clone:?}").contains("bob"));
}

#[tokio::test]
async fn labels_are_shown_in_their_order_and_the_last_value_holds() {
    let Held { server, conn, .. } = held(|server| server).await;
    conn.label("user", "ann");
    conn.label("room", "kitchen");
    conn.label("user", "bob");
    let expected = vec![("user", "bob".to_owned()), ("room", "kitchen".to_owned())];
    assert_eq!(conn.info().labels, expected);
    assert_eq!(server.connections()[0].labels, expected);
}

#[tokio::test]
async fn waiting_for_a_drain_does_not_borrow_the_connection() {
    let Held {
        server,
        mut client,
        mut conn,
        ..
    } = held(|server| server).await;
    let draining = conn.draining();
    let second = beside(conn.draining());
    conn.write_all(b"still mine").await.unwrap();
    let mut got = [0; 10];
    client.read_exact(&mut got).await.unwrap();
    assert!(!conn.is_draining());
    server.connection(conn.id()).unwrap().drain();
    soon(draining).await;
    soon(second).await.unwrap();
    assert!(conn.is_draining() && conn.info().is_draining);
    // A drain that has started is reported at once.
    soon(conn.draining()).await;
}

#[tokio::test]
async fn waiting_for_a_drain_that_has_come_is_over_at_once_however_often() {
    let (conn, _client) = testing::connection();
    let mut draining = conn.draining();
    assert_eq!(poll_once(&mut draining).await, None);
    conn.handle().drain();
    for _ in 0..3 {
        assert_eq!(poll_once(&mut draining).await, Some(()));
    }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|cx| match Pin::new(&mut *future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_reset_is_an_error_for_the_client() {
    let (_server, mut client, conn) = held_tcp().await;
    conn.reset();
    let error = rest(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_goes_through_whatever_wrapped_the_socket() {
    let (_server, mut client, conn) = held_tcp().await;
    conn.map_io(BufStream::new)
        .boxed()
        .map_io(BufStream::new)
        .boxed()
        .reset();
    let error = rest(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let (_server, mut client, conn) = held_tcp().await;
    conn.map_io(BufStream::new).reset();
    let error = rest(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_stream_alone_can_be_told_to_close_with_a_reset() {
    let (_server, mut client, conn) = held_tcp().await;
    let handle = conn.handle();
    let (io, parts) = conn.into_parts();
    drop(parts);
    handle.reset_on_close();
    drop(io);
    let error = rest(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_that_is_dropped_ends_in_good_order() {
    let (server, mut client, conn) = held_tcp().await;
    drop(conn);
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    until("it is counted no more", || server.connection_count() == 0).await;
}

#[tokio::test]
async fn the_stream_goes_on_counting_without_the_rest() {
    let Held {
        server,
        mut client,
        mut conn,
        ..
    } = held(|server| server).await;
    let id = conn.id();
    conn.extensions_mut().insert(5_u8);
    let (io, parts) = conn.into_parts();
    assert_eq!(server.connection_count(), 1);
    let mut conn = parts.with_io(BufStream::new(io));
    assert_eq!((conn.id(), conn.extensions().get::<u8>()), (id, Some(&5)));
    conn.write_all(b"again").await.unwrap();
    conn.flush().await.unwrap();
    let mut got = [0; 5];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"again");

    // Parts without the stream do not keep a connection open.
    let (io, parts) = conn.into_parts();
    drop(io);
    assert_eq!(server.connection_count(), 0);
    assert_eq!(parts.handle.phase(), Phase::Closed);
    assert_eq!(rest(&mut client).await.unwrap(), b"");
}

#[tokio::test]
async fn a_wrapped_stream_is_the_same_connection() {
    let Held {
        server,
        mut client,
        conn,
        ..
    } = held(|server| server).await;
    let id = conn.id();
    let conn = conn.map_io(BufStream::new);
    assert_eq!(conn.id(), id);
    let echoing = beside(echo(conn.map_io(BufStream::into_inner).boxed()));
    assert!(echoes(&mut client, "through").await);
    assert_eq!(server.connections()[0].bytes_read, 7);
    drop(client);
    soon(echoing).await.unwrap().unwrap();
}

#[tokio::test]
async fn several_buffers_are_written_at_once() {
    let (_server, mut client, mut conn) = held_tcp().await;
    assert!(conn.is_write_vectored());
    let written = conn
        .write_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"two")])
        .await;
    assert_eq!(written.unwrap(), 7);
    drop(conn);
    assert_eq!(rest(&mut client).await.unwrap(), b"one two");
}

#[tokio::test]
async fn bytes_are_counted_in_both_directions() {
    let Held {
        mut client,
        mut conn,
        ..
    } = held(|server| server).await;
    client.write_all(b"hello").await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(conn.read(&mut buf).await.unwrap(), 5);
    conn.write_all(b"you").await.unwrap();
    assert_eq!(
        conn.write_vectored(&[IoSlice::new(b", too")])
            .await
            .unwrap(),
        5
    );
    let info = conn.info();
    assert_eq!((info.bytes_read, info.bytes_written), (5, 8));
    // The counters of a wrapped stream still count the bytes of the socket.
    let mut conn = conn.map_io(BufStream::new);
    conn.write_all(b"later").await.unwrap();
    assert_eq!(conn.info().bytes_written, 8);
    conn.flush().await.unwrap();
    assert_eq!(conn.handle().bytes_written(), 13);
}

#[tokio::test]
async fn an_abort_ends_a_running_handler() {
    let (server, mut accepted) = tcp_server();
    let server = server
        .start(handle(|conn: Connection| async move {
            let _held = conn;
            pending::<io::Result<()>>().await
        }))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    let connection = accepted.next().await;
    connection.abort();
    assert!(matches!(soon(connection.closed()).await, Outcome::Aborted));
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    assert_eq!((server.connection_count(), server.stats().aborted), (0, 1));
}

#[tokio::test]
async fn a_rejection_ends_a_running_handler_with_its_reason() {
    let (server, mut accepted) = tcp_server();
    let server = server
        .start(handle(|conn: Connection| async move {
            let _held = conn;
            pending::<io::Result<()>>().await
        }))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    let connection = accepted.next().await;
    connection.reject(Rejected::new("banned"));
    // The outcome is that of the first call.
    connection.reject(Rejected::new("late"));
    connection.abort();
    let outcome = soon(connection.closed()).await;
    assert!(matches!(&outcome, Outcome::Rejected(rejected) if rejected.reason() == "banned"));
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    assert_eq!((server.stats().aborted, server.stats().rejected), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_abort_fails_what_a_moved_stream_waits_for() {
    let Held {
        server,
        client,
        conn,
        ..
    } = held(|server| server).await;
    let handle = conn.handle();
    let (mut reader, mut writer) = tokio::io::split(conn);
    let reading = beside(async move { reader.read_u8().await.map(drop) });
    let writing = beside(async move {
        loop {
            writer.write_all(&[0; 1024]).await?;
        }
        #[expect(unreachable_code, reason = "the type of the block")]
        io::Result::Ok(())
    });
    settled().await;
    assert!(!reading.is_finished() && !writing.is_finished());
    handle.abort();
    for task in [reading, writing] {
        let error = soon(task).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
    soon(handle.closed()).await;
    assert_eq!(server.connection_count(), 0);
    drop(client);
}

#[tokio::test]
async fn an_aborted_connection_neither_reads_nor_writes() {
    let Held {
        mut client,
        mut conn,
        ..
    } = held(|server| server).await;
    client.write_all(b"unread").await.unwrap();
    conn.handle().abort();
    let error = conn.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    let error = conn.write_u8(0).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test(start_paused = true)]
async fn every_waiter_for_the_end_is_notified() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server.start(handle(echo)).await.unwrap();
    let client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let connection = connection.clone();
            beside(async move { connection.closed().await })
        })
        .collect();
    settled().await;
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    drop(client);
    for waiter in waiters {
        assert!(matches!(soon(waiter).await.unwrap(), Outcome::Completed));
    }
    assert!(matches!(
        soon(connection.closed()).await,
        Outcome::Completed
    ));
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_another_task_keeps_its_place_until_it_is_dropped() {
    let Held {
        server,
        clients,
        conn,
        ..
    } = held(|server| server.max_connections(1)).await;
    let _second = clients.connect().await.unwrap();
    settled().await;
    assert_eq!((server.connection_count(), clients.waiting()), (1, 1));
    let listed = server.connections();
    assert_eq!(
        (listed[0].id, listed[0].phase),
        (conn.id(), Phase::Detached)
    );
    // The handler's outcome is known, but the connection has not ended yet.
    let handle = conn.handle();
    assert!(matches!(handle.outcome(), Some(Outcome::Completed)));
    drop(conn);
    assert!(matches!(soon(handle.closed()).await, Outcome::Completed));
    settled().await;
    assert_eq!((server.stats().accepted, clients.waiting()), (2, 0));
}

#[tokio::test]
async fn a_remembered_connection_is_not_kept_open() {
    let port = Port::new();
    let (server, mut accepted) = crate::support::accepted(Server::bind(port.addr()));
    let server = server.max_connections(1).start(handle(echo)).await.unwrap();
    let mut client = connect(&server).await;
    let connection = accepted.next().await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    soon(connection.closed()).await;
    assert_eq!(connection.phase(), Phase::Closed);
    assert!(server.connection(connection.id()).is_none());
    assert_eq!(server.connections().len(), 0);
    assert!(echoes(&mut connect(&server).await, "the next").await);

    server.abort();
    soon(server.wait()).await.unwrap();
    drop(server);
    let error = TcpStream::connect(port.addr()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(connection.id(), 1);
}

#[tokio::test]
async fn a_connection_knows_its_addresses() {
    let (server, client, conn) = held_tcp().await;
    assert_eq!(conn.id(), 1);
    assert_eq!(*conn.peer_addr(), client.local_addr().unwrap());
    assert_eq!(conn.socket_addr(), conn.peer_addr());
    assert_eq!(conn.listener_addr(), server.local_addr());
    assert_eq!(conn.local_addr().unwrap(), client.peer_addr().unwrap());
    assert!(!conn.is_secure() && conn.negotiated_protocol().is_none());
}

#[tokio::test]
async fn behind_a_wildcard_the_address_the_client_chose_is_known_even_when_wrapped() {
    let (service, mut given) = giving();
    let server = Server::bind("0.0.0.0:0").start(service).await.unwrap();
    let port = server.local_addr().port().unwrap();
    let client = TcpStream::connect(("127.0.0.2", port)).await.unwrap();
    let conn = soon(given.recv()).await.unwrap();
    assert_eq!(conn.local_addr().unwrap(), client.peer_addr().unwrap());
    let conn = conn.map_io(BufStream::new).boxed();
    assert_eq!(conn.local_addr().unwrap(), client.peer_addr().unwrap());
}

#[tokio::test]
async fn a_connection_taken_apart_keeps_the_address_the_client_chose() {
    let (service, mut given) = giving();
    let server = Server::bind("0.0.0.0:0").start(service).await.unwrap();
    let port = server.local_addr().port().unwrap();
    let client = TcpStream::connect(("127.0.0.2", port)).await.unwrap();
    let (io, parts) = soon(given.recv()).await.unwrap().into_parts();
    let conn = parts.with_io(BufStream::new(io));
    assert_eq!(conn.local_addr().unwrap(), client.peer_addr().unwrap());
}

#[tokio::test]
async fn a_stream_that_outlived_its_handler_and_is_aborted_ends_as_aborted() {
    let Held { server, conn, .. } = held(|server| server).await;
    let handle = conn.handle();
    handle.abort();
    drop(conn);
    assert!(matches!(soon(handle.closed()).await, Outcome::Aborted));
    assert_eq!((server.stats().completed, server.stats().aborted), (0, 1));
}

#[tokio::test]
async fn a_stream_that_outlived_its_handler_and_is_rejected_ends_as_rejected() {
    let Held { server, conn, .. } = held(|server| server).await;
    let handle = conn.handle();
    handle.reject(Rejected::new("banned"));
    drop(conn);
    assert!(matches!(soon(handle.closed()).await, Outcome::Rejected(_)));
    // It is too late for a connection that is over.
    handle.reject(Rejected::new("late"));
    assert_eq!(handle.outcome().unwrap().to_string(), "rejected: banned");
    assert_eq!((server.stats().completed, server.stats().rejected), (0, 1));
}

#[tokio::test]
async fn values_kept_with_a_connection_are_dropped_with_it() {
    let Held { conn, .. } = held(|server| server).await;
    let kept = std::sync::Arc::new(());
    conn.keep(kept.clone());
    let (io, parts) = conn.into_parts();
    drop(parts);
    assert_eq!(std::sync::Arc::strong_count(&kept), 2);
    drop(io);
    assert_eq!(std::sync::Arc::strong_count(&kept), 1);
}

#[tokio::test]
async fn the_first_to_name_the_client_is_right() {
    let Held {
        server, mut conn, ..
    } = held(|server| server).await;
    let named: SocketAddr = "192.0.2.1:7".parse().unwrap();
    conn.set_peer_addr(named.into());
    conn.set_peer_addr(Addr::Other("somebody else".into()));
    assert_eq!(*conn.peer_addr(), named);
    let listed = &server.connections()[0];
    assert_eq!(listed.peer_addr, named);
    assert_eq!(listed.socket_addr, Addr::Other("client:1".into()));
}

/// A dual-stack socket sees IPv4 clients as `::ffff:127.0.0.1`. This address must not be visible
/// elsewhere.
#[tokio::test]
async fn an_ipv4_client_of_a_socket_of_both_families_has_an_ipv4_address() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let (server, mut accepted) = crate::support::accepted(Server::bind("[::]:0"));
    let (service, mut given) = giving();
    let server = server.start(service).await.unwrap();
    let port = server.local_addr().port().unwrap();
    let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connection = accepted.next().await;
    assert_eq!(*connection.peer_addr(), client.local_addr().unwrap());
    assert_eq!(*connection.socket_addr(), client.local_addr().unwrap());
    assert_eq!(
        connection.local_addr().unwrap(),
        client.peer_addr().unwrap()
    );
    // The same applies to addresses from PROXY headers.
    let mut conn = soon(given.recv()).await.unwrap();
    let mapped = |addr: &str| Addr::Tcp(addr.parse().unwrap());
    conn.set_peer_addr(mapped("[::ffff:192.0.2.1]:1"));
    conn.set_local_addr(mapped("[::ffff:192.0.2.2]:2"));
    assert_eq!(*conn.peer_addr(), mapped("192.0.2.1:1"));
    assert_eq!(conn.local_addr().unwrap(), mapped("192.0.2.2:2"));

    let client = TcpStream::connect(("::1", port)).await.unwrap();
    let connection = accepted.next().await;
    assert_eq!(*connection.peer_addr(), client.local_addr().unwrap());
}
