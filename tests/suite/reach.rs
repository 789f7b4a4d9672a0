//! What programs can do with a server and its connections besides serving.

use crate::support::{
    LONG, accepted, beside, connect, echo, echoes, memory_server, rest, soon, stop, tcp_server,
    until,
};
use reagent::{
    BoxError, BoxIo, Connection, Outcome, Server, ServerStatus, Spawn, Start, TokioSpawn,
    Transport, handle,
};
use socket2::SockRef;
use std::{
    future::{Future, pending},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, ReadBuf, duplex},
    sync::oneshot,
};
use tower::{
    timeout::TimeoutLayer,
    util::{BoxCloneService, MapRequestLayer},
};

/// Borrows the connection across an await, so the future of the handler is `Send` only if
/// connections are `Sync`.
async fn greeting(conn: &Connection) -> String {
    tokio::task::yield_now().await;
    format!("you are number {}", conn.id())
}

#[tokio::test]
async fn a_handler_may_lend_its_connection_to_async_functions() {
    let (server, clients, _accepted) = memory_server();
    let server = server
        .layer(MapRequestLayer::new(|conn: Connection| {
            conn.map_io(BufStream::new)
        }))
        .start(handle(|mut conn: Connection| async move {
            let greeting = greeting(&conn).await;
            conn.write_all(greeting.as_bytes()).await?;
            conn.flush().await
        }))
        .await
        .unwrap();
    let told = rest(&mut clients.connect().await.unwrap()).await.unwrap();
    assert_eq!(told, b"you are number 1");
    stop(&server).await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_socket_is_reached_through_all_layers_and_gone_with_the_connection() {
    let (server, mut accepted) = tcp_server();
    let server = server
        .layer(MapRequestLayer::new(|conn: Connection| {
            conn.map_io(BufStream::new)
        }))
        .start(handle(|mut conn: Connection| async move {
            conn.set_nodelay(false)?;
            let socket = conn.socket()?;
            assert!(!SockRef::from(&socket).tcp_nodelay()?);
            conn.set_nodelay(true)?;
            assert!(SockRef::from(&socket).tcp_nodelay()?);
            assert_eq!(
                conn.peer_cred().unwrap_err().kind(),
                io::ErrorKind::Unsupported
            );
            conn.write_all(b"seen").await?;
            conn.flush().await
        }))
        .await
        .unwrap();
    assert_eq!(rest(&mut connect(&server).await).await.unwrap(), b"seen");
    let connection = accepted.next().await;
    assert_eq!(soon(connection.closed()).await.to_string(), "completed");
    assert_eq!(
        connection.socket().unwrap_err().kind(),
        io::ErrorKind::NotConnected
    );
    assert_eq!(connection.local_addr().unwrap(), *server.local_addr());
    stop(&server).await;
}

#[tokio::test]
async fn a_connection_ends_once_whatever_becomes_of_its_parts() {
    let (server, clients, mut accepted) = memory_server();
    let (parts_in, mut parts_out) = tokio::sync::mpsc::unbounded_channel();
    let server = server
        .start(handle(move |conn: Connection| {
            let (io, parts) = conn.into_parts();
            drop(io);
            parts_in.send(parts).unwrap();
            async { Ok::<_, BoxError>(()) }
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    assert_eq!(soon(connection.closed()).await.to_string(), "completed");

    let (ours, theirs) = duplex(64);
    let mut start = Start::new(handle(echo), TokioSpawn);
    let again = soon(parts_out.recv())
        .await
        .unwrap()
        .with_io(BoxIo::new(theirs));
    let zombie = tower::Service::call(&mut start, again).await.unwrap();
    drop(ours);
    assert_eq!(soon(zombie.closed()).await.to_string(), "completed");
    tokio::task::yield_now().await;
    assert_eq!(server.connection_count(), 0);
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.completed, stats.failed), (1, 1, 0));
    stop(&server).await;
}

/// A stream whose operations never complete.
struct Stuck;

impl AsyncRead for Stuck {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn an_abort_reaches_a_stream_in_whatever_it_waits() {
    let (listener, queue) = crate::support::StreamListener::new();
    let (server, mut accepted) = accepted(Server::new(listener));
    let (sender, mut detached) = tokio::sync::mpsc::unbounded_channel();
    let server = server
        .start(handle(move |conn: Connection| {
            sender.send(conn).unwrap();
            async { Ok::<_, BoxError>(()) }
        }))
        .await
        .unwrap();
    for what in 0..4 {
        queue.push(Transport::other(Stuck));
        let mut conn = soon(detached.recv()).await.unwrap();
        let connection = accepted.next().await;
        let waiting = beside(async move {
            match what {
                0 => conn.read_u8().await.map(drop),
                1 => conn.write_all(b"x").await,
                2 => conn.flush().await,
                _ => conn.shutdown().await,
            }
        });
        tokio::task::yield_now().await;
        connection.abort();
        let error = soon(waiting).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{what}");
        assert!(matches!(connection.closed().await, Outcome::Aborted));
    }
    stop(&server).await;
}

/// Polls each future at once and whenever it is woken, with a waker that can be counted.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<Vec<Arc<Task>>>>);

struct Task(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut future = self.0.lock().unwrap();
        if let Some(running) = &mut *future {
            if running
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                *future = None;
            }
        }
    }
}

impl Spawn for Counted {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        let task = Arc::new(Task(Mutex::new(Some(Box::pin(task)))));
        self.0.lock().unwrap().push(task.clone());
        task.wake();
    }
}

#[tokio::test]
async fn a_handle_that_is_kept_keeps_no_task() {
    let (server, mut accepted) = tcp_server();
    let spawn = Counted::default();
    let (release, released) = oneshot::channel::<()>();
    let released = Arc::new(Mutex::new(Some(released)));
    let server = server
        .spawn_with(spawn.clone())
        .start(handle(move |mut conn: Connection| {
            let released = released.lock().unwrap().take();
            async move {
                // Waits for the socket, which then holds the waker until the stream is released.
                let mut byte = [0];
                tokio::select! {
                    read = conn.read(&mut byte) => drop(read),
                    () = async { match released { Some(released) => drop(released.await), None => pending().await } } => {}
                }
                Ok::<_, BoxError>(())
            }
        }))
        .await
        .unwrap();
    let _client = connect(&server).await;
    let connection = accepted.next().await;
    until("the task waits", || !spawn.0.lock().unwrap().is_empty()).await;
    release.send(()).unwrap();
    soon(connection.closed()).await;
    let task = spawn.0.lock().unwrap().pop().unwrap();
    until("nothing else has the task", || {
        Arc::strong_count(&task) == 1
    })
    .await;
    assert_eq!(connection.id(), 1);
    stop(&server).await;
}

#[tokio::test]
async fn a_limit_can_be_lifted() {
    let (server, clients, _accepted) = memory_server();
    let server = server.max_connections(1).start(handle(echo)).await.unwrap();
    let mut first = clients.connect().await.unwrap();
    assert!(echoes(&mut first, "first").await);
    let mut second = clients.connect().await.unwrap();
    server.set_max_connections(None);
    assert!(echoes(&mut second, "second").await);
    assert_eq!(server.stats().max_connections, None);
    drop((first, second));
    stop(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_drains_on_a_signal_or_when_it_stops_by_itself() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let (signal, heard) = oneshot::channel::<()>();
    let draining = beside({
        let server = server.clone();
        async move { server.drain_on(heard, Duration::from_secs(5)).await }
    });
    let _client = clients.connect().await.unwrap();
    accepted.next().await;
    assert_eq!(server.status(), ServerStatus::Running);
    signal.send(()).unwrap();
    let report = soon(draining).await.unwrap();
    assert_eq!((report.finished, report.aborted), (0, 1));
    // A stopped server does not wait for the signal.
    assert_eq!(server.drain_on(pending::<()>(), LONG).await, report);
}

#[tokio::test]
async fn watchers_see_every_change_of_a_servers_status() {
    let (server, _clients, _accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let changed = |known| soon(server.status_changed(known));
    assert_eq!(changed(ServerStatus::Paused).await, ServerStatus::Running);
    let watching = beside({
        let server = server.clone();
        async move { server.status_changed(ServerStatus::Running).await }
    });
    tokio::task::yield_now().await;
    server.pause();
    assert_eq!(soon(watching).await.unwrap(), ServerStatus::Paused);
    server.resume();
    assert_eq!(changed(ServerStatus::Paused).await, ServerStatus::Running);
    server.abort();
    soon(server.wait()).await.unwrap();
    assert_eq!(changed(ServerStatus::Running).await, ServerStatus::Stopped);
}

#[tokio::test]
async fn a_server_of_boxed_layers_has_a_type_that_can_be_written() {
    type Echo = BoxCloneService<Connection, (), BoxError>;

    fn configured() -> Server<reagent::BoxedLayers<Echo>> {
        Server::bind("127.0.0.1:0")
            .layer(TimeoutLayer::new(LONG))
            .boxed()
    }

    let service =
        tower::service_fn(|conn: Connection| async { echo(conn).await.map_err(Into::into) });
    let server = configured().start(Echo::new(service)).await.unwrap();
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "boxed").await);
    drop(client);
    stop(&server).await;
}

#[tokio::test]
async fn a_hook_sees_each_client_before_it_is_a_connection_and_may_close_it() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let (server, mut accepted) = tcp_server();
    let server = server
        .on_accept(move |client| {
            assert!(client.transport.tcp().is_some() && client.peer.ip().is_some());
            match count.fetch_add(1, SeqCst) {
                0 => Ok(()),
                1 => Err(io::Error::other("not today")),
                2 => panic!("in a hook"),
                _ => Ok(()),
            }
        })
        .start(handle(echo))
        .await
        .unwrap();
    let mut first = connect(&server).await;
    assert!(echoes(&mut first, "first").await);
    for _ in 0..2 {
        assert_eq!(rest(&mut connect(&server).await).await.unwrap(), b"");
    }
    let mut last = connect(&server).await;
    assert!(echoes(&mut last, "last").await);
    assert_eq!(seen.load(SeqCst), 4);
    assert_eq!(server.stats().accepted, 2);
    assert_eq!(
        (accepted.next().await.id(), accepted.next().await.id()),
        (1, 2)
    );
    drop((first, last));
    stop(&server).await;
}

#[tokio::test]
async fn the_runtimes_of_cores_are_built_on_their_threads() {
    let built = Arc::new(Mutex::new(Vec::new()));
    let noted = built.clone();
    let server = Server::bind("127.0.0.1:0")
        .per_core_with(move |core| {
            let thread = std::thread::current().name().map(str::to_owned);
            noted.lock().unwrap().push((core, thread));
            Ok(tokio::runtime::Builder::new_current_thread())
        })
        .acceptors(2)
        .start(handle(echo))
        .await
        .unwrap();
    let name = |core| (core, Some(format!("reagent-core-{core}")));
    assert_eq!(*built.lock().unwrap(), [name(0), name(1)]);
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    stop(&server).await;

    let failing = Server::bind("127.0.0.1:0").per_core_with(|_| Err(io::Error::other("no core")));
    let error = failing.start(handle(echo)).await.unwrap_err();
    assert!(matches!(error, reagent::Error::Runtime { .. }), "{error}");
}

#[tokio::test]
async fn connections_are_visited_without_holding_anybody_up() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(echo)).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..600 {
        open.push(clients.connect().await.unwrap());
        accepted.next().await;
    }
    let mut ids = Vec::new();
    server.for_each_connection(|connection| {
        // No lock is held, so the callback may do anything with the server.
        assert!(server.connection(connection.id()).is_some());
        ids.push(connection.id());
    });
    ids.sort_unstable();
    assert_eq!(ids, (1..=600).collect::<Vec<_>>());
    drop(open);
    stop(&server).await;
}

/// Set in the child process. Without it, the test below does nothing.
const CHILD: &str = "REAGENT_TEST_WRAPS";

#[tokio::test]
#[ignore = "it is the server, and runs in a process that is looked at"]
async fn a_server_of_wrapping_layers() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let server = Server::bind("0.0.0.0:0")
        .layer(MapRequestLayer::new(|conn: Connection| {
            conn.map_io(BufStream::new)
        }))
        .layer(MapRequestLayer::new(|conn: Connection<BufStream<_>>| {
            conn.map_io(BufStream::new)
        }))
        .start(handle(|conn: Connection| async move {
            drop(conn);
            Ok::<_, BoxError>(())
        }))
        .await
        .unwrap();
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], server.local_addr().port().unwrap()));
    for _ in 0..20 {
        let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
        let _ = rest(&mut client).await;
    }
    stop(&server).await;
}

/// Connections to a wildcard address do not know their local address, and nothing looks it up.
#[tokio::test]
async fn layers_that_wrap_a_stream_cost_no_system_call() {
    let test = "reach::a_server_of_wrapping_layers";
    let Some(calls) = crate::support::traced("getsockname", test, CHILD).await else {
        return;
    };
    // The listener's own call. Twenty connections through two layers must not add any.
    let asked = calls
        .lines()
        .filter(|line| line.contains("getsockname"))
        .count();
    assert!((1..20).contains(&asked), "{calls}");
}
