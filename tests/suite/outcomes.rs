//! A connection has exactly one outcome, which all observers agree on and which names the
//! responsible side.

use crate::support::{
    Log, beside, connect, echo, memory_server, rest, settled, soon, tcp_server, until,
};
use reagent::{
    Accepted, Addr, BoxError, Connection, ConnectionHandle, Disconnect, Listener, Observer,
    Outcome, OutcomeKind, Phase, Server, Session, Start, TokioSpawn, Transport, event, handle,
    session, session::Context,
};
use std::{
    collections::HashSet,
    error::Error,
    fmt,
    future::pending,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context as TaskContext, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower::{Service, timeout::TimeoutLayer};

/// Makes the client close with a reset.
fn reset(client: TcpStream) {
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
}

/// A chain of two errors.
#[derive(Debug)]
struct Because(BoxError);

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it did not work out")
    }
}

impl Error for Because {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[test]
fn each_kind_has_a_name_and_an_index_of_its_own() {
    let names: HashSet<_> = OutcomeKind::ALL.map(OutcomeKind::as_str).into();
    assert_eq!(names.len(), OutcomeKind::ALL.len());
    for (index, kind) in OutcomeKind::ALL.into_iter().enumerate() {
        assert_eq!(kind.index(), index);
        assert_eq!(kind.to_string(), kind.as_str());
    }
    let gone = Outcome::Disconnected(Disconnect::Eof);
    assert_eq!(gone.kind(), OutcomeKind::Disconnected);
    assert_eq!(gone.as_str(), "disconnected");
}

#[tokio::test]
async fn a_client_that_resets_is_no_failure_however_the_error_is_wrapped() {
    let (server, mut accepted) = tcp_server();
    let server = server
        .start(handle(|conn: Connection| async move {
            let id = conn.id();
            echo(conn).await.map_err(|error| match id % 2 {
                0 => BoxError::from(error),
                _ => Because(io::Error::other(error).into()).into(),
            })
        }))
        .await
        .unwrap();
    for _ in 0..2 {
        let mut client = connect(&server).await;
        assert!(crate::support::echoes(&mut client, "hello").await);
        reset(client);
        let outcome = accepted.outcome().await;
        assert!(
            matches!(outcome, Outcome::Disconnected(Disconnect::Reset)),
            "{outcome}"
        );
    }
    until("both have left", || server.connection_count() == 0).await;
    assert_eq!((server.stats().failed, server.stats().disconnected), (0, 2));
}

#[tokio::test]
async fn a_client_that_is_written_to_after_it_left_is_no_failure() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .start(handle(|mut conn: Connection| async move {
            loop {
                conn.write_all(&[0; 1024]).await?;
            }
            #[expect(unreachable_code, reason = "the type of the block")]
            io::Result::Ok(())
        }))
        .await
        .unwrap();
    drop(clients.connect().await.unwrap());
    assert_eq!(accepted.outcome().await.to_string(), "disconnected: reset");
}

#[tokio::test]
async fn an_end_of_file_is_a_disconnection_only_if_it_was_the_clients() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .start(handle(|mut conn: Connection| async move {
            match conn.id() {
                1 => conn.read_exact(&mut [0; 8]).await.map(drop),
                // An unexpected end of something else, such as a file.
                _ => (&b"short"[..]).read_exact(&mut [0; 8]).await.map(drop),
            }
        }))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"half").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(accepted.outcome().await.to_string(), "disconnected: eof");
    let _client = clients.connect().await.unwrap();
    assert_eq!(accepted.outcome().await.kind(), OutcomeKind::Failed);
}

#[tokio::test]
async fn an_upstream_that_resets_is_a_failure() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = upstream.local_addr().unwrap();
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .start(handle(move |conn: Connection| async move {
            let _client = conn;
            TcpStream::connect(addr).await?.read_u8().await.map(drop)
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    reset(upstream.accept().await.unwrap().0);
    let Outcome::Failed(error) = accepted.outcome().await else {
        panic!("it failed")
    };
    let error = error.downcast_ref::<io::Error>().expect("the error itself");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// A client whose host has become unreachable.
struct Unreachable(Arc<Mutex<Option<io::ErrorKind>>>);

impl Listener for Unreachable {
    fn local_addr(&self) -> Addr {
        Addr::Other("nowhere".into())
    }

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match &*self.0.lock().unwrap() {
            Some(_) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    fn try_accept(&mut self) -> io::Result<Accepted> {
        let kind = self.0.lock().unwrap().take();
        let kind = kind.ok_or(io::ErrorKind::WouldBlock)?;
        let transport = Transport::other(Silent(kind));
        Ok(Accepted::new(transport, self.local_addr()))
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(Unreachable(self.0.clone())))
    }
}

struct Silent(io::ErrorKind);

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.0.into()))
    }
}

impl AsyncWrite for Silent {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.0.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.0.into()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.0.into()))
    }
}

#[tokio::test]
async fn a_client_whose_host_is_gone_has_timed_out_by_the_system() {
    for kind in [io::ErrorKind::TimedOut, io::ErrorKind::HostUnreachable] {
        for way in ["read", "write", "flush", "shutdown"] {
            let log = Log::default();
            let listener = Unreachable(Arc::new(Mutex::new(Some(kind))));
            let _server = Server::new(listener)
                .observe(log.clone())
                .start(handle(move |mut conn: Connection| async move {
                    match way {
                        "read" => conn.read_u8().await.map(drop),
                        "write" => conn.write_u8(0).await,
                        "flush" => conn.flush().await,
                        _ => conn.shutdown().await,
                    }
                }))
                .await
                .unwrap();
            log.wait_for("connection ended: 1: disconnected: timed_out", 1)
                .await;
        }
    }
}

#[tokio::test]
async fn an_abort_does_not_hide_why_a_handler_had_failed() {
    for (way, expected) in [(0, "failed: no luck"), (1, "aborted"), (2, "aborted")] {
        let (sender, mut moved) = mpsc::unbounded_channel();
        let (server, clients, mut accepted) = memory_server();
        let server = server
            .start(handle(move |conn: Connection| {
                if way == 2 {
                    conn.handle().drain();
                }
                let _ = sender.send(conn);
                async move {
                    match way {
                        0 => Err(BoxError::from("no luck")),
                        _ => Ok(()),
                    }
                }
            }))
            .await
            .unwrap();
        let _client = clients.connect().await.unwrap();
        let connection = accepted.next().await;
        until("it is detached", || connection.phase() == Phase::Detached).await;
        connection.abort();
        drop(soon(moved.recv()).await);
        assert_eq!(soon(connection.closed()).await.to_string(), expected);
        assert_eq!(server.stats().aborted, u64::from(way > 0));
    }
}

/// Records the outcome.
struct Noted(Log);

impl Session for Noted {
    type Message = ();

    async fn on_data(&mut self, cx: &mut Context<'_, ()>, data: &[u8]) -> Result<(), BoxError> {
        match data {
            b"e" => Err(io::Error::from(io::ErrorKind::AddrInUse).into()),
            b"f" => Err("no luck".into()),
            b"p" => panic!("no luck"),
            b"x" => pending().await,
            _ => {
                cx.close();
                Ok(())
            }
        }
    }

    fn on_close(&mut self, outcome: &Outcome) {
        self.0.add(format!("session: {outcome}"));
    }
}

/// Records the outcome before others are notified.
struct Told(Log);

impl Observer for Told {
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        assert_ne!(event.connection.phase(), Phase::Closed);
        self.0.add(format!("observer: {}", event.outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_its_observers_and_waiters_receive_the_same_outcome() {
    for (word, expected) in [
        ("c", "completed"),
        ("f", "failed: no luck"),
        ("p", "panicked: no luck"),
        // A tower layer ends these two.
        ("x", "timed out: lifetime"),
        ("", "timed out: lifetime"),
    ] {
        let log = Log::default();
        let (server, clients, mut accepted) = memory_server();
        let noted = log.clone();
        let _server = server
            .observe(Arc::new(Told(log.clone())))
            .layer(TimeoutLayer::new(Duration::from_secs(5)))
            .start(session(move || Noted(noted.clone())))
            .await
            .unwrap();
        let mut client = clients.connect().await.unwrap();
        client.write_all(word.as_bytes()).await.unwrap();
        assert_eq!(accepted.outcome().await.to_string(), expected);
        assert_eq!(
            log.events(),
            [
                format!("session: {expected}"),
                format!("observer: {expected}")
            ]
        );
    }
}

#[tokio::test]
async fn a_sessions_error_is_the_one_that_it_returned() {
    let (server, clients, mut accepted) = memory_server();
    let log = Log::default();
    let _server = server
        .start(session(move || Noted(log.clone())))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_u8(b'e').await.unwrap();
    let Outcome::Failed(error) = accepted.outcome().await else {
        panic!("it failed")
    };
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    assert_eq!(kind, Some(io::ErrorKind::AddrInUse));
    assert!(
        error.source().is_none(),
        "its text stands once in the chain"
    );
    assert_eq!(rest(&mut client).await.unwrap(), b"");
}

/// An error that looks up its connection when it is dropped.
struct Curious(ConnectionHandle, Log);

impl Drop for Curious {
    fn drop(&mut self) {
        let outcome = self.0.outcome().map(|outcome| outcome.to_string());
        self.1.add(format!("{outcome:?}"));
    }
}

impl fmt::Debug for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Curious")
    }
}

impl fmt::Display for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("curious")
    }
}

impl Error for Curious {}

/// On failure this test hangs: the error is dropped under a lock that its drop takes.
#[tokio::test]
async fn an_error_that_nobody_needs_may_ask_for_its_connection() {
    let (sender, mut moved) = mpsc::unbounded_channel();
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .start(handle(move |conn: Connection| {
            let _ = sender.send(conn);
            async { io::Result::Ok(()) }
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    let conn = soon(moved.recv()).await.unwrap();
    until("it is detached", || connection.phase() == Phase::Detached).await;
    // A second service serves the connection, and the first outcome remains.
    let log = Log::default();
    let noted = log.clone();
    let failing = handle(move |conn: Connection| {
        let error = Curious(conn.handle(), noted.clone());
        async { Err::<(), _>(error) }
    });
    Start::new(failing, TokioSpawn).call(conn).await.unwrap();
    log.wait_for("Some(\"completed\")", 1).await;
    assert_eq!(soon(connection.closed()).await.to_string(), "completed");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_drain_of_what_is_over_is_over() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    let watcher = beside({
        let draining = connection.draining();
        async move {
            let mut draining = draining;
            (&mut draining).await;
            // The future is fused.
            (&mut draining).await;
            draining.await;
        }
    });
    settled().await;
    assert!(!watcher.is_finished());
    drop(client);
    soon(connection.closed()).await;
    soon(watcher).await.unwrap();
    assert!(!connection.is_draining());
    soon(connection.draining()).await;
    drop(server);
}

#[tokio::test]
async fn handles_are_equal_when_they_are_of_one_connection() {
    let (one, clients, mut of_one) = memory_server();
    let one = one.start(handle(echo)).await.unwrap();
    let (two, others, mut of_two) = memory_server();
    let two = two.start(handle(echo)).await.unwrap();
    let _clients = [
        clients.connect().await.unwrap(),
        clients.connect().await.unwrap(),
        others.connect().await.unwrap(),
    ];
    let all = [
        of_one.next().await,
        of_one.next().await,
        of_two.next().await,
    ];
    assert_eq!(all[0], one.connection(1).unwrap());
    assert_eq!(all.iter().cloned().collect::<HashSet<_>>().len(), 3);
    assert_ne!(all[0], all[2]);
    assert!(one == one.clone() && one != two);
    assert_eq!(HashSet::from([one.clone(), one, two]).len(), 2);
}
