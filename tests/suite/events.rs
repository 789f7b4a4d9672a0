//! Every event is reported exactly once and in order, in all circumstances, and no event contains
//! secrets.

use crate::support::{LONG, Log, connect, echo, echoes, rest, settle, until};
use reagent::{
    Addr, BoxError, Connection, ConnectionHandle, Extensions, Observer, Outcome, Phase, Rejected,
    Server, ServerHandle, ServerStatus, Spawn, TimedOut, event, handle,
    testing::{Clients, MemoryListener},
};
use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};
use tower::timeout::TimeoutLayer;

/// Ends as requested by the client's first byte.
async fn obedient(mut conn: Connection) -> Result<(), BoxError> {
    match conn.read_u8().await? {
        b'o' => Ok(()),
        b'e' => Err("requested".into()),
        b'r' => Err(Rejected::new("requested").into()),
        b't' => Err(TimedOut::new("requested").into()),
        b'p' => panic!("requested"),
        b'd' => {
            conn.draining().await;
            Ok(())
        }
        _ => pending().await,
    }
}

/// Checks the events of the only connection: one start, and one end with this outcome.
fn ended_once(log: &Log, outcome: &str) {
    let events = log.events();
    let of_connections: Vec<_> = events
        .iter()
        .filter(|event| event.starts_with("connection"))
        .collect();
    let end = format!("connection ended: 1: {outcome}");
    assert_eq!(of_connections, ["connection started: 1", &end]);
}

struct Trial {
    server: ServerHandle,
    clients: Clients,
    log: Log,
}

impl Trial {
    async fn start() -> Self {
        let (listener, clients) = MemoryListener::new();
        let log = Log::default();
        let server = Server::new(listener)
            .observe(log.clone())
            .layer(TimeoutLayer::new(Duration::from_secs(3600)))
            .start(handle(obedient))
            .await
            .unwrap();
        Trial {
            server,
            clients,
            log,
        }
    }

    async fn only(&self) -> ConnectionHandle {
        until("it is there", || self.server.connection(1).is_some()).await;
        self.server.connection(1).unwrap()
    }

    fn nothing_is_left(&self) {
        let stats = self.server.stats();
        assert_eq!((stats.open, stats.accepted), (0, 1));
        let ended = [
            stats.completed,
            stats.failed,
            stats.disconnected,
            stats.rejected,
            stats.timed_out,
            stats.drained,
            stats.aborted,
            stats.panicked,
        ];
        assert_eq!(ended.iter().sum::<u64>(), 1);
        assert!(self.server.connections().is_empty() && self.server.connection(1).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ends_is_reported_once() {
    for (word, outcome) in [
        ("o", "completed"),
        ("e", "failed: requested"),
        ("r", "rejected: requested"),
        ("t", "timed out: requested"),
        ("p", "panicked: requested"),
        ("x", "timed out: lifetime"),
        ("", "disconnected: eof"),
    ] {
        let trial = Trial::start().await;
        let mut client = trial.clients.connect().await.unwrap();
        let connection = trial.only().await;
        client.write_all(word.as_bytes()).await.unwrap();
        if word.is_empty() {
            client.shutdown().await.unwrap();
        }
        let told = connection.closed().await;
        assert_eq!(told.to_string(), outcome);
        assert_eq!(rest(&mut client).await.unwrap(), b"");
        ended_once(&trial.log, outcome);
        trial.nothing_is_left();
        assert_eq!(connection.phase(), Phase::Closed);
        // Later and repeated calls return the same outcome.
        assert_eq!(connection.closed().await.to_string(), outcome);
        connection.abort();
        connection.drain();
        settle().await;
        ended_once(&trial.log, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_reported_once() {
    let trial = Trial::start().await;
    let mut client = trial.clients.connect().await.unwrap();
    let connection = trial.only().await;
    connection.abort();
    connection.abort();
    assert!(matches!(connection.closed().await, Outcome::Aborted));
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    ended_once(&trial.log, "aborted");
    trial.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_drained_connection_is_reported_once() {
    let trial = Trial::start().await;
    let mut client = trial.clients.connect().await.unwrap();
    client.write_all(b"d").await.unwrap();
    let connection = trial.only().await;
    settle().await;
    connection.drain();
    assert!(matches!(connection.closed().await, Outcome::Drained));
    ended_once(&trial.log, "drained");
    trial.nothing_is_left();
}

#[tokio::test]
async fn a_reset_by_the_client_is_reported_once() {
    let log = Log::default();
    let server = Server::bind("127.0.0.1:0")
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "hello").await);
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    log.wait_for("connection ended", 1).await;
    ended_once(&log, "disconnected: reset");
    until("it has left", || server.connection_count() == 0).await;
}

/// Drops tasks instead of running them.
#[derive(Clone)]
struct Forgetful;

impl Spawn for Forgetful {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(task);
    }
}

/// Runs all tasks until they are dropped by the test.
#[derive(Clone, Default)]
struct Owner(Arc<Mutex<JoinSet<()>>>);

impl Spawn for Owner {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().unwrap().spawn(task);
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_never_run_is_reported_once() {
    let (listener, clients) = MemoryListener::new();
    let log = Log::default();
    let server = Server::new(listener)
        .max_connections(1)
        .spawn_with(Forgetful)
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    assert_eq!(
        rest(&mut clients.connect().await.unwrap()).await.unwrap(),
        b""
    );
    ended_once(&log, "aborted");
    // The permit has been released.
    assert_eq!(
        rest(&mut clients.connect().await.unwrap()).await.unwrap(),
        b""
    );
    assert_eq!((server.connection_count(), server.stats().aborted), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_half_way_is_reported_once() {
    let (listener, clients) = MemoryListener::new();
    let (log, owner) = (Log::default(), Owner::default());
    let server = Server::new(listener)
        .spawn_with(owner.clone())
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    owner.0.lock().unwrap().abort_all();
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    settle().await;
    ended_once(&log, "aborted");
    assert_eq!((server.connection_count(), server.stats().aborted), (0, 1));
}

#[test]
fn a_runtime_that_is_shut_down_ends_all_and_keeps_nobody_waiting() {
    let log = Log::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, client) = runtime.block_on(async {
        let server = Server::bind("127.0.0.1:0")
            .observe(log.clone())
            .start(handle(echo))
            .await
            .unwrap();
        let mut client = connect(&server).await;
        assert!(echoes(&mut client, "hello").await);
        (server, client)
    });
    drop(runtime);
    ended_once(&log, "aborted");
    assert_eq!(
        (server.connection_count(), server.stats().status),
        (0, ServerStatus::Stopped)
    );
    let another = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = another.block_on(async { tokio::time::timeout(LONG, server.wait()).await });
    assert!(report.unwrap().is_ok());
    drop(client);
}

/// Looks up the connection of every event.
#[derive(Clone, Default)]
struct Curious {
    server: Arc<OnceLock<ServerHandle>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Curious {
    fn look(&self, when: &str, connection: &ConnectionHandle) {
        let server = self.server.get().unwrap();
        let is_listed = server.connection(connection.id()).is_some();
        let all = server.connections().len();
        let phase = connection.phase();
        self.seen
            .lock()
            .unwrap()
            .push(format!("{when}: {is_listed}, {all}, {phase:?}"));
    }
}

impl Observer for Curious {
    fn connection_started(&self, connection: &ConnectionHandle) {
        self.look("started", connection);
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        self.look("ended", event.connection);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_listed_from_before_its_start_until_its_end() {
    let (listener, clients) = MemoryListener::new();
    let curious = Curious::default();
    let at_handler = curious.clone();
    let server = Server::new(listener)
        .observe(curious.clone())
        .start(handle(move |conn: Connection| {
            at_handler.look("called", &conn.handle());
            let at_handler = at_handler.clone();
            async move {
                at_handler.look("polled", &conn.handle());
                echo(conn).await
            }
        }))
        .await
        .unwrap();
    curious.server.set(server.clone()).unwrap();
    drop(clients.connect().await.unwrap());
    until("it ended", || curious.seen.lock().unwrap().len() == 4).await;
    assert_eq!(
        *curious.seen.lock().unwrap(),
        [
            "started: true, 1, Accepted",
            "called: true, 1, Handling",
            "polled: true, 1, Handling",
            "ended: false, 0, Detached",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_life_of_a_server_is_reported_in_order() {
    let (listener, clients) = MemoryListener::new();
    let log = Log::default();
    let server = Server::new(listener)
        .acceptors(2)
        .observe(log.clone())
        .start(handle(obedient))
        .await
        .unwrap();
    // Events of different acceptors are concurrent, so they are sorted here.
    let mut events = log.events();
    events[..2].sort();
    assert_eq!(
        events,
        [
            "acceptor started: 0",
            "acceptor started: 1",
            "listener started"
        ]
    );

    let mut polite = clients.connect().await.unwrap();
    polite.write_all(b"d").await.unwrap();
    let _stubborn = clients.connect().await.unwrap();
    settle().await;
    server.set_acceptors(3);
    settle().await;
    server.set_acceptors(2);
    settle().await;
    server.drain(Duration::from_secs(60)).await;
    let mut events = log.events();
    events[9..11].sort();
    assert_eq!(
        events[3..],
        [
            "connection started: 1",
            "connection started: 2",
            "acceptor started: 2",
            "acceptor stopped: 2",
            "drain started: 2",
            "connection ended: 1: drained",
            "acceptor stopped: 0",
            "acceptor stopped: 1",
            "listener stopped",
            "connection ended: 2: aborted",
            "drain ended: 1 finished, 1 aborted",
        ]
    );
    // A stopped server reports no more events.
    server.pause();
    server.resume();
    server.set_acceptors(5);
    server.abort();
    settle().await;
    assert_eq!(log.events().len(), 14);
}

#[tokio::test]
async fn each_of_several_addresses_is_reported() {
    let log = Log::default();
    let server = Server::bind(["127.0.0.1:0", "127.0.0.1:0"])
        .acceptors(2)
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    assert_eq!(
        (log.count("listener started"), log.count("acceptor started")),
        (2, 4)
    );
    assert_eq!(
        (server.stats().listeners.len(), server.stats().acceptors),
        (2, 4)
    );
    server.drain(LONG).await;
    assert_eq!(
        (log.count("listener stopped"), log.count("acceptor stopped")),
        (2, 4)
    );
    assert_eq!(server.stats().acceptors, 0);
}

#[tokio::test]
async fn a_start_that_fails_leaves_events_in_pairs() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let log = Log::default();
    let failed = Server::bind([
        "127.0.0.1:0".to_owned(),
        taken.local_addr().unwrap().to_string(),
    ])
    .observe(log.clone())
    .start(handle(echo))
    .await;
    assert!(failed.is_err());
    assert!(log.events().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_are_unique_and_grow() {
    let (listener, clients) = MemoryListener::new();
    let log = Log::default();
    let server = Server::new(listener)
        .acceptors(4)
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(clients.connect().await.unwrap());
    }
    log.wait_for("connection started", 200).await;
    let ids: Vec<_> = server.connections().iter().map(|info| info.id).collect();
    assert_eq!(ids, (1..=200).collect::<Vec<_>>());
    drop(open);
    until("all have left", || server.connection_count() == 0).await;
    let mut next = clients.connect().await.unwrap();
    assert!(echoes(&mut next, "hello").await);
    // No number is used twice.
    assert_eq!(server.connections()[0].id, 201);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_says_what_is_known() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .start(handle(|mut conn: Connection| async move {
            conn.label("user", "nobody");
            conn.label("state", "reading");
            let mut bytes = [0; 5];
            conn.read_exact(&mut bytes).await?;
            conn.label("user", "anna");
            conn.write_all(b"you sent five").await?;
            conn.draining().await;
            io::Result::Ok(())
        }))
        .await
        .unwrap();
    let peer: SocketAddr = "192.0.2.7:4321".parse().unwrap();
    let mut client = clients.connect_from(peer).await.unwrap();
    settle().await;
    tokio::time::sleep(Duration::from_secs(90)).await;

    let [info] = &server.connections()[..] else {
        panic!("not one")
    };
    assert_eq!((info.id, info.phase), (1, Phase::Handling));
    assert_eq!(
        (&info.peer_addr, &info.socket_addr),
        (&Addr::Tcp(peer), &Addr::Tcp(peer))
    );
    assert_eq!(info.listener_addr, *server.local_addr());
    assert_eq!(
        (info.age.as_secs(), info.accepted_at.elapsed()),
        (90, info.age)
    );
    assert_eq!((info.bytes_read, info.bytes_written), (0, 0));
    assert!(!info.is_secure && !info.is_draining);
    assert_eq!(
        info.labels,
        [
            ("user", "nobody".to_owned()),
            ("state", "reading".to_owned())
        ]
    );

    client.write_all(b"hello").await.unwrap();
    let mut answer = [0; 13];
    client.read_exact(&mut answer).await.unwrap();
    let info = server.connection(1).unwrap().info();
    assert_eq!((info.bytes_read, info.bytes_written), (5, 13));
    assert_eq!(
        info.labels,
        [("user", "anna".to_owned()), ("state", "reading".to_owned())]
    );

    let connection = server.connection(1).unwrap();
    connection.drain();
    assert!(connection.info().is_draining);
    connection.closed().await;
    let info = connection.info();
    assert_eq!(
        (info.phase, info.bytes_read, info.bytes_written),
        (Phase::Closed, 5, 13)
    );
}

#[tokio::test]
async fn a_snapshot_of_a_socket_has_its_addresses() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "hello").await);
    let [info] = &server.connections()[..] else {
        panic!("not one")
    };
    assert_eq!(info.peer_addr, client.local_addr().unwrap());
    assert_eq!(info.socket_addr, client.local_addr().unwrap());
    assert_eq!(info.listener_addr, client.peer_addr().unwrap());
    assert_eq!((info.bytes_read, info.bytes_written), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_left_its_handler_is_seen_as_detached() {
    let (listener, clients) = MemoryListener::new();
    let (log, kept) = (Log::default(), Arc::new(Mutex::new(None)));
    let keep = kept.clone();
    let server = Server::new(listener)
        .observe(log.clone())
        .start(handle(move |conn: Connection| {
            *keep.lock().unwrap() = Some(conn);
            async { io::Result::Ok(()) }
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    settle().await;
    let connection = server.connection(1).unwrap();
    assert_eq!(connection.phase(), Phase::Detached);
    assert!(matches!(connection.outcome(), Some(Outcome::Completed)));
    assert_eq!(log.count("connection ended"), 0);
    let conn = kept.lock().unwrap().take();
    drop(conn);
    ended_once(&log, "completed");
}

#[tokio::test(start_paused = true)]
async fn the_state_is_what_the_server_does() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .acceptors(2)
        .start(handle(obedient))
        .await
        .unwrap();
    let is = |state| assert_eq!(server.stats().status, state);
    is(ServerStatus::Running);
    server.pause();
    is(ServerStatus::Paused);
    server.resume();
    is(ServerStatus::Running);
    server.set_acceptors(0);
    is(ServerStatus::Paused);
    server.resume();
    is(ServerStatus::Paused);
    server.set_acceptors(1);
    is(ServerStatus::Running);

    let mut client = clients.connect().await.unwrap();
    settle().await;
    let drain = server.drain(Duration::from_secs(3600));
    tokio::pin!(drain);
    tokio::select! {
        biased;
        report = &mut drain => panic!("{report:?}"),
        () = settle() => {}
    }
    is(ServerStatus::Draining);
    server.pause();
    is(ServerStatus::Draining);
    client.write_all(b"o").await.unwrap();
    let report = drain.await;
    assert_eq!(
        (report.finished, report.aborted, report.remaining),
        (1, 0, 0)
    );
    is(ServerStatus::Stopped);
    server.resume();
    is(ServerStatus::Stopped);
}

const SECRET: &str = "correct horse battery staple";

/// An application's data of a connection.
#[derive(Clone, Debug)]
struct Password(#[expect(dead_code, reason = "it is there to be shown by Debug")] &'static str);

fn keeps_it(what: impl std::fmt::Debug) {
    for text in [format!("{what:?}"), format!("{what:#?}")] {
        assert!(!text.contains(SECRET), "{text}");
        let bytes = format!("{:?}", SECRET.as_bytes());
        assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_debug_shows_a_secret() {
    let (listener, clients) = MemoryListener::new();
    let log = Log::default();
    let server = Server::new(listener)
        .state(Password(SECRET))
        .observe(log.clone());
    keeps_it(&server);
    let service = handle(|mut conn: Connection| async move {
        conn.extensions_mut().insert(Password(SECRET));
        assert!(conn.state::<Password>().is_some());
        conn.set_secure(Some(SECRET.as_bytes()));
        // Most input stays in the buffer of the stream, and so does the output.
        assert_eq!(conn.read_u8().await?, SECRET.as_bytes()[0]);
        conn.write_all(SECRET.as_bytes()).await?;
        keeps_it(&conn);
        keeps_it(conn.io());
        keeps_it(conn.extensions());
        keeps_it(conn.handle());
        keeps_it(conn.info());
        keeps_it(conn.draining());
        let (io, parts) = conn.into_parts();
        keeps_it(&io);
        keeps_it(&parts);
        let conn = parts
            .with_io(io)
            .map_io(|io| tokio::io::BufReader::with_capacity(64, io));
        keeps_it(&conn);
        let mut conn = conn.boxed();
        conn.read_u8().await?;
        keeps_it(&conn);
        keeps_it(conn.io());
        conn.draining().await;
        io::Result::Ok(())
    });
    keeps_it(&service);
    let server = server.start(service).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(SECRET.as_bytes()).await.unwrap();
    let mut answer = vec![0; SECRET.len()];
    client.read_exact(&mut answer).await.unwrap();
    settle().await;
    keeps_it(&server);
    keeps_it(server.stats());
    keeps_it(server.connections());
    keeps_it(server.connection(1).unwrap());
    let connection = server.connection(1).unwrap();
    connection.drain();
    let outcome = connection.closed().await;
    assert!(matches!(outcome, Outcome::Drained), "{outcome:?}");
    keeps_it(outcome);
    keeps_it(server.drain(LONG).await);
    keeps_it(log.events());

    let mut extensions = Extensions::default();
    extensions.insert(Password(SECRET));
    keeps_it(extensions);
    assert!(format!("{:?}", Password(SECRET)).contains(SECRET));
}
