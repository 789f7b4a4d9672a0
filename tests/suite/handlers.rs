//! The forms of handlers, and the outcomes of their results.

use crate::support::{echo, echoes, memory_server, rest, soon};
use reagent::{
    BoxError, Connection, ConnectionInfo, ConnectionService, IoStream, Outcome, OutcomeKind,
    Rejected, Spawn, TimedOut, TokioSpawn, handle, per_connection,
};
use std::{
    any::type_name,
    error::Error,
    fmt,
    future::{Future, Ready, pending, ready},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncWriteExt, BufStream};
use tower::{Service, service_fn, util::MapRequestLayer};

/// Returns the outcome of the connection of one client.
async fn outcome_of(service: impl ConnectionService + Clone) -> Outcome {
    let (server, clients, mut accepted) = memory_server();
    let _server = server.start(service).await.unwrap();
    let _client = clients.connect().await.unwrap();
    accepted.outcome().await
}

#[tokio::test]
async fn a_handler_that_returns_ok_has_completed() {
    let outcome = outcome_of(handle(|_| async { Ok::<_, io::Error>(()) })).await;
    assert!(matches!(outcome, Outcome::Completed), "{outcome}");
}

#[tokio::test]
async fn a_handlers_error_is_kept() {
    let outcome = outcome_of(handle(|_| async { Err(BoxError::from("no luck")) })).await;
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome}")
    };
    assert_eq!(error.to_string(), "no luck");

    let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
    let outcome = outcome_of(handle(move |_| async move { Err(broken()) })).await;
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome}")
    };
    let error = error.downcast_ref::<io::Error>().expect("the error itself");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_handlers_panic_ends_its_own_connection_alone() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .start(handle(|conn: Connection| async move {
            match conn.id() {
                2 => panic!("two"),
                id @ 3 => panic!("number {id}"),
                _ => echo(conn).await,
            }
        }))
        .await
        .unwrap();
    let mut first = clients.connect().await.unwrap();
    assert!(echoes(&mut first, "before").await);
    accepted.next().await;
    for expected in ["panicked: two", "panicked: number 3"] {
        let mut client = clients.connect().await.unwrap();
        assert_eq!(rest(&mut client).await.unwrap(), b"");
        assert_eq!(accepted.outcome().await.to_string(), expected);
    }
    assert!(echoes(&mut first, "after").await);
    assert!(echoes(&mut clients.connect().await.unwrap(), "new").await);
    assert_eq!(server.stats().panicked, 2);
}

#[tokio::test]
async fn a_function_that_panics_before_its_future_is_there_costs_one_connection() {
    let (server, clients, mut accepted) = memory_server();
    let function = |conn: Connection| {
        assert_ne!(conn.id(), 1, "the first");
        echo(conn)
    };
    let _server = server.start(handle(function)).await.unwrap();
    let mut first = clients.connect().await.unwrap();
    assert_eq!(rest(&mut first).await.unwrap(), b"");
    let outcome = accepted.outcome().await;
    assert!(matches!(outcome, Outcome::Panicked(_)), "{outcome}");
    assert!(echoes(&mut clients.connect().await.unwrap(), "second").await);
}

#[tokio::test]
async fn a_handler_that_never_ends_is_ended_by_an_abort() {
    let (server, clients, mut accepted) = memory_server();
    let forever = |_conn: Connection| pending::<io::Result<()>>();
    let _server = server.start(handle(forever)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    assert!(connection.outcome().is_none());
    connection.abort();
    let outcome = soon(connection.closed()).await;
    assert!(matches!(outcome, Outcome::Aborted), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_is_ended_at_the_deadline_of_a_drain() {
    let (server, clients, mut accepted) = memory_server();
    let forever = |_conn: Connection| pending::<io::Result<()>>();
    let server = server.start(handle(forever)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    let report = server.drain(Duration::from_secs(3600)).await;
    assert_eq!(
        (report.finished, report.aborted, report.remaining),
        (0, 1, 0)
    );
    assert!(matches!(connection.closed().await, Outcome::Aborted));
}

/// An error with another error as its source.
#[derive(Debug)]
struct Because(BoxError);

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it did not work")
    }
}

impl Error for Because {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// A handler whose first connection fails with this error.
fn failing<E: Into<BoxError> + Send + 'static>(error: E) -> impl ConnectionService + Clone {
    let error = Arc::new(Mutex::new(Some(error)));
    handle(move |_| {
        let error = error.lock().unwrap().take().expect("one client");
        async move { Err(error) }
    })
}

#[tokio::test]
async fn errors_that_say_what_they_are_become_outcomes_however_they_are_wrapped() {
    let errors: [(&str, &dyn Fn() -> BoxError); 2] = [
        ("rejected: not you", &|| Rejected::new("not you").into()),
        ("timed out: handshake", &|| {
            TimedOut::new("handshake").into()
        }),
    ];
    for (expected, error) in errors {
        let outcomes = [
            outcome_of(failing(error())).await,
            outcome_of(failing(io::Error::other(error()))).await,
            outcome_of(failing(Because(error()))).await,
            outcome_of(failing(Because(io::Error::other(Because(error())).into()))).await,
            outcome_of(failing(io::Error::other(io::Error::other(error())))).await,
            outcome_of(failing(BoxError::from(io::Error::other(error())))).await,
        ];
        for outcome in outcomes {
            assert_eq!(outcome.to_string(), expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn towers_errors_become_outcomes_only_where_they_are_about_the_connection() {
    let mut elapsed = Vec::new();
    for _ in 0..3 {
        elapsed.push(
            tokio::time::timeout(Duration::ZERO, pending::<()>())
                .await
                .unwrap_err(),
        );
    }
    let elapsed = Mutex::new(elapsed);
    let of_tokio = || elapsed.lock().unwrap().pop().expect("one for each").into();
    let errors: [(&str, &dyn Fn() -> BoxError); 3] = [
        ("timed out: lifetime", &|| {
            tower::timeout::error::Elapsed::new().into()
        }),
        ("failed: deadline has elapsed", &of_tokio),
        ("rejected: overloaded", &|| {
            tower::load_shed::error::Overloaded::new().into()
        }),
    ];
    for (expected, error) in errors {
        let outcome = outcome_of(failing(error())).await;
        assert_eq!(outcome.to_string(), expected);
        // An error of the handler's upstream does not say anything about the client.
        for outcome in [
            outcome_of(failing(Because(error()))).await,
            outcome_of(failing(io::Error::other(error()))).await,
        ] {
            assert_eq!(outcome.kind(), OutcomeKind::Failed, "{outcome}");
        }
    }
}

#[tokio::test]
async fn a_service_is_made_for_each_connection_with_what_is_known_of_it() {
    let (server, clients, _accepted) = memory_server();
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let make = service_fn(move |info: ConnectionInfo| {
        count.fetch_add(1, Ordering::Relaxed);
        let text = format!("{} from {}", info.id, info.peer_addr);
        ready(Ok::<_, io::Error>(handle(move |mut conn: Connection| {
            let text = text.clone();
            async move { conn.write_all(text.as_bytes()).await }
        })))
    });
    let _server = server.start(per_connection(make)).await.unwrap();
    for expected in ["1 from client:1", "2 from client:2"] {
        let mut client = clients.connect().await.unwrap();
        assert_eq!(rest(&mut client).await.unwrap(), expected.as_bytes());
    }
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_service_that_cannot_be_made_fails_its_connection_alone() {
    let (server, clients, mut accepted) = memory_server();
    let make = service_fn(|info: ConnectionInfo| {
        ready(match info.id {
            1 => Err(BoxError::from(Rejected::new("not the first"))),
            2 => Err(BoxError::from("nor the second")),
            _ => Ok(handle(echo)),
        })
    });
    let _server = server.start(per_connection(make)).await.unwrap();
    for expected in ["rejected: not the first", "failed: nor the second"] {
        let _client = clients.connect().await.unwrap();
        assert_eq!(accepted.outcome().await.to_string(), expected);
    }
    assert!(echoes(&mut clients.connect().await.unwrap(), "third").await);
}

/// A service that may never become ready.
struct Gate {
    is_open: bool,
}

impl Service<Connection> for Gate {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.is_open {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn call(&mut self, _: Connection) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test]
async fn a_made_service_that_never_gets_ready_holds_up_nobody_else() {
    let (server, clients, mut accepted) = memory_server();
    let make = service_fn(|info: ConnectionInfo| {
        ready(Ok::<_, BoxError>(Gate {
            is_open: info.id != 1,
        }))
    });
    let server = server.start(per_connection(make)).await.unwrap();
    let _first = clients.connect().await.unwrap();
    let first = accepted.next().await;
    let _second = clients.connect().await.unwrap();
    assert!(matches!(accepted.outcome().await, Outcome::Completed));
    assert_eq!(server.connection_count(), 1);
    first.abort();
    assert!(matches!(soon(first.closed()).await, Outcome::Aborted));
}

/// Sends each client the type of its stream.
#[derive(Clone)]
struct TellType;

impl<Io: IoStream> Service<Connection<Io>> for TellType {
    type Response = ();
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut conn: Connection<Io>) -> Self::Future {
        Box::pin(async move {
            conn.write_all(type_name::<Io>().as_bytes()).await?;
            conn.flush().await
        })
    }
}

#[tokio::test]
async fn a_generic_service_sees_the_type_that_the_layers_made() {
    let (server, clients, _accepted) = memory_server();
    let _server = server
        .layer(MapRequestLayer::new(|conn: Connection| {
            conn.map_io(BufStream::new)
        }))
        .start(TellType)
        .await
        .unwrap();
    let told = rest(&mut clients.connect().await.unwrap()).await.unwrap();
    assert!(String::from_utf8(told).unwrap().contains("BufStream"));
}

#[tokio::test]
async fn a_function_serves_streams_that_layers_wrapped() {
    let (server, clients, _accepted) = memory_server();
    let _server = server
        .layer(MapRequestLayer::new(|conn: Connection| {
            conn.map_io(BufStream::new)
        }))
        .layer(MapRequestLayer::new(|conn: Connection<BufStream<_>>| {
            conn.map_io(BufStream::new)
        }))
        .start(handle(|mut conn: Connection| async move {
            conn.write_all(b"through all of them").await?;
            conn.flush().await
        }))
        .await
        .unwrap();
    let told = rest(&mut clients.connect().await.unwrap()).await.unwrap();
    assert_eq!(told, b"through all of them");
}

/// Records the size of every spawned future.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<Vec<usize>>>);

impl Spawn for Sizes {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().unwrap().push(size_of::<F>());
        TokioSpawn.spawn(task);
    }
}

/// Ends according to the number of the connection, with `SIZE` bytes held across an await.
async fn holding<const SIZE: usize>(conn: Connection) -> Result<(), BoxError> {
    let held = std::hint::black_box([0_u8; SIZE]);
    tokio::task::yield_now().await;
    std::hint::black_box(&held);
    match conn.id() {
        1 => Ok(()),
        2 => Err(Rejected::new("two").into()),
        3 => panic!("three"),
        _ => pending().await,
    }
}

async fn ends_as_others_do<const SIZE: usize>() -> Vec<usize> {
    let (server, clients, mut accepted) = memory_server();
    let sizes = Sizes::default();
    let _server = server
        .spawn_with(sizes.clone())
        .start(handle(holding::<SIZE>))
        .await
        .unwrap();
    for expected in ["completed", "rejected: two", "panicked: three", "aborted"] {
        let _client = clients.connect().await.unwrap();
        let connection = accepted.next().await;
        if expected == "aborted" {
            connection.abort();
        }
        assert_eq!(soon(connection.closed()).await.to_string(), expected);
    }
    let sizes = sizes.0.lock().unwrap();
    sizes.clone()
}

#[tokio::test]
async fn only_a_large_future_is_boxed_and_both_end_alike() {
    let small = ends_as_others_do::<16>().await;
    assert!(
        small.iter().all(|size| *size > 3 * size_of::<usize>()),
        "{small:?}"
    );
    let large = ends_as_others_do::<2048>().await;
    assert!(
        large.iter().all(|size| *size <= 3 * size_of::<usize>()),
        "{large:?}"
    );
}

#[tokio::test]
async fn a_future_that_is_dropped_unfinished_aborts_its_connection() {
    /// A runtime that never polls a task.
    #[derive(Clone)]
    struct Never;

    impl Spawn for Never {
        fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
            drop(task);
        }
    }

    let (server, clients, mut accepted) = memory_server();
    let server = server.spawn_with(Never).start(handle(echo)).await.unwrap();
    for _ in 0..2 {
        let mut client = clients.connect().await.unwrap();
        assert_eq!(rest(&mut client).await.unwrap(), b"");
        assert_eq!(accepted.outcome().await.to_string(), "aborted");
    }
    assert_eq!(server.connection_count(), 0);
}
