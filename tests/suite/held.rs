//! Connections that are kept open without being served.

use crate::support::{beside, connect, memory_server, rest, settle, soon, tcp_server};
use reagent::{Connection, HeldConnection, Server, ServerHandle, handle};
use std::{
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, sync::mpsc};

/// Starts a server that holds every connection, with the connections that it holds.
async fn holding(server: Server) -> (ServerHandle, mpsc::UnboundedReceiver<HeldConnection>) {
    let (sender, held) = mpsc::unbounded_channel();
    let hold = move |conn: Connection| {
        let sent = sender.send(conn.hold());
        async move { sent.map_err(io::Error::other) }
    };
    (server.start(handle(hold)).await.unwrap(), held)
}

/// Counts how often its task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn what_a_held_client_sends_is_not_read_and_wakes_nobody_and_its_close_is_noticed() {
    let (server, _) = tcp_server();
    let (server, mut held) = holding(server).await;
    let mut client = connect(&server).await;
    let mut conn = soon(held.recv()).await.unwrap();
    let handle = conn.handle().clone();
    {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut ended = pin!(conn.ended());
        let mut poll = || ended.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending());
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        // A later connection shows that the runtime has seen the bytes.
        let _other = connect(&server).await;
        let _held = soon(held.recv()).await.unwrap();
        settle().await;
        assert!(poll().is_pending());
        assert_eq!(wakes.0.load(SeqCst), 0);
    }
    client.shutdown().await.unwrap();
    soon(conn.ended()).await;
    assert_eq!((handle.bytes_read(), server.connection_count()), (0, 1));
    drop(conn);
    assert_eq!(server.connection_count(), 0);
    // The bytes that nobody has read turn the close into a reset.
    let error = rest(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_held_client_is_let_go_by_a_drain_and_by_an_abort() {
    let (server, _) = tcp_server();
    let (server, mut held) = holding(server).await;
    let (_first, _second) = (connect(&server).await, connect(&server).await);
    let mut first = soon(held.recv()).await.unwrap();
    let mut second = soon(held.recv()).await.unwrap();
    assert!(matches!(poll_once(first.ended()), Poll::Pending));
    let aborted = first.handle().clone();
    let ended = beside(async move { first.ended().await });
    settle().await;
    aborted.abort();
    soon(ended).await.unwrap();
    let drain = server.drain(Duration::from_secs(10));
    let both = async {
        tokio::join!(drain, async {
            second.ended().await;
            drop(second);
        })
    };
    let (report, ()) = soon(both).await;
    assert_eq!((report.aborted, report.remaining), (0, 0));
}

#[tokio::test]
async fn a_held_client_can_be_reset() {
    let (server, _) = tcp_server();
    let (server, mut held) = holding(server).await;
    let mut client = connect(&server).await;
    let conn = soon(held.recv()).await.unwrap();
    conn.handle().reset_on_close();
    drop(conn);
    let error = rest(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn of_a_stream_without_a_socket_one_byte_is_read() {
    let (server, clients, _) = memory_server();
    let (_server, mut held) = holding(server).await;
    let silent = clients.connect().await.unwrap();
    let mut conn = held.recv().await.unwrap();
    assert!(matches!(poll_once(conn.ended()), Poll::Pending));
    drop(silent);
    soon(conn.ended()).await;

    let mut talker = clients.connect().await.unwrap();
    let mut conn = held.recv().await.unwrap();
    talker.write_all(b"hello").await.unwrap();
    assert!(matches!(poll_once(conn.ended()), Poll::Pending));
    assert_eq!(conn.handle().bytes_read(), 1);
}

#[tokio::test]
async fn a_held_client_learns_that_others_wait_for_its_place() {
    let (server, _) = tcp_server();
    let (server, mut held) = holding(server.max_connections(1)).await;
    let _client = connect(&server).await;
    let first = soon(held.recv()).await.unwrap();
    assert!(!first.handle().is_place_wanted());
    let _other = connect(&server).await;
    let wanted = async {
        while !first.handle().is_place_wanted() {
            tokio::task::yield_now().await;
        }
    };
    soon(wanted).await;
    drop(first);
    let _second = soon(held.recv()).await.unwrap();
}

fn poll_once(future: impl Future<Output = ()>) -> Poll<()> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
