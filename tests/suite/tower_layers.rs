//! How tower's own layers, unmodified, treat clients in the queue.

use crate::support::{self, beside, echo, echoes, memory_server, settled, soon};
use reagent::{
    BoxError, Connection, Outcome, Phase, Rejected, Server, ServerHandle, handle, testing::Clients,
};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream, DuplexStream};
use tower::{
    Service, ServiceBuilder,
    buffer::BufferLayer,
    filter::{AsyncFilterLayer, FilterLayer},
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    service_fn,
    timeout::TimeoutLayer,
    util::{BoxCloneService, BoxCloneSyncService, MapRequestLayer, option_layer},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Connects `count` clients, one after the other.
async fn connect(clients: &Clients, count: usize) -> Vec<DuplexStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(clients.connect().await.unwrap());
    }
    all
}

/// Returns the number of open connections and of clients in the queue.
async fn open_and_waiting(server: &ServerHandle, clients: &Clients) -> (usize, usize) {
    settled().await;
    (server.connection_count(), clients.waiting())
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_leaves_clients_in_excess_in_the_queue() {
    for acceptors in [1, 4] {
        let (server, clients, _accepted) = memory_server();
        let server = server
            .acceptors(acceptors)
            .layer(ConcurrencyLimitLayer::new(2))
            .start(handle(echo))
            .await
            .unwrap();
        let mut all = connect(&clients, 5).await;
        // One limit for all acceptors, and no client beyond it is accepted.
        for waiting in [3, 2, 1, 0] {
            assert_eq!(open_and_waiting(&server, &clients).await, (2, waiting));
            assert!(echoes(&mut all[0], "served").await);
            drop(all.remove(0));
        }
        assert_eq!(open_and_waiting(&server, &clients).await, (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_acceptor_keeps_no_place_that_another_could_use() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .acceptors(4)
        .layer(ConcurrencyLimitLayer::new(1))
        .start(handle(echo))
        .await
        .unwrap();
    for _ in 0..20 {
        let mut client = clients.connect().await.unwrap();
        assert!(echoes(&mut client, "my turn").await);
        drop(client);
        accepted.outcome().await;
    }
    // The same with a queue that is never empty.
    for mut client in connect(&clients, 20).await {
        assert!(echoes(&mut client, "my turn").await);
    }
    assert_eq!(open_and_waiting(&server, &clients).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn global_concurrency_limit_is_one_for_two_servers() {
    let limit = GlobalConcurrencyLimitLayer::new(2);
    let (first, to_first, _first_accepted) = memory_server();
    let first = first
        .acceptors(2)
        .layer(limit.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let (second, to_second, _second_accepted) = memory_server();
    let second = second.layer(limit).start(handle(echo)).await.unwrap();

    let mut of_first = connect(&to_first, 2).await;
    assert_eq!(open_and_waiting(&first, &to_first).await, (2, 0));
    let mut of_second = connect(&to_second, 2).await;
    assert_eq!(open_and_waiting(&second, &to_second).await, (0, 2));
    of_first.pop();
    assert_eq!(open_and_waiting(&second, &to_second).await, (1, 1));
    assert!(echoes(&mut of_second[0], "from the other").await);
    of_first.pop();
    assert_eq!(open_and_waiting(&second, &to_second).await, (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_found_the_queue_empty_gives_its_place_back() {
    let limit = GlobalConcurrencyLimitLayer::new(1);
    let (first, to_first, _first_accepted) = memory_server();
    let first = first
        .acceptors(3)
        .layer(limit.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let (second, to_second, _second_accepted) = memory_server();
    let _second = second.layer(limit).start(handle(echo)).await.unwrap();

    // All acceptors see the last client waiting and want a permit for it. One of them gets it.
    let all = connect(&to_first, 3).await;
    assert_eq!(open_and_waiting(&first, &to_first).await, (1, 2));
    drop(all);
    assert_eq!(open_and_waiting(&first, &to_first).await, (0, 0));
    assert!(echoes(&mut to_second.connect().await.unwrap(), "no place is lost").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_is_as_exact_over_sockets_and_threads() {
    let open = Arc::new(AtomicUsize::new(0));
    let counting = open.clone();
    let server = Server::bind("127.0.0.1:0")
        .acceptors(4)
        .layer(ConcurrencyLimitLayer::new(2))
        .start(handle(move |conn: Connection| {
            let open = counting.clone();
            async move {
                assert!(open.fetch_add(1, Ordering::SeqCst) < 2, "one too many");
                let result = echo(conn).await;
                open.fetch_sub(1, Ordering::SeqCst);
                result
            }
        }))
        .await
        .unwrap();
    let all: Vec<_> = (0..100)
        .map(|_| {
            let server = server.clone();
            beside(async move {
                assert!(echoes(&mut support::connect(&server).await, "in turn").await);
            })
        })
        .collect();
    for client in all {
        soon(client).await.unwrap();
    }
    let report = soon(server.drain(MINUTE)).await;
    assert_eq!((report.aborted, report.remaining), (0, 0));
    let stats = server.stats();
    assert_eq!((stats.accepted, stats.panicked, stats.open), (100, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn rate_limit_leaves_clients_in_the_queue_until_its_window_is_over() {
    let (server, clients, _accepted) = memory_server();
    // It is not `Clone`, so each acceptor makes its own.
    let server = server
        .layer(RateLimitLayer::new(3, MINUTE))
        .start_make(service_fn(|_| ready(Ok::<_, Infallible>(handle(echo)))))
        .await
        .unwrap();
    let _all = connect(&clients, 7).await;
    for expected in [(3, 4), (6, 1), (7, 0)] {
        assert_eq!(open_and_waiting(&server, &clients).await, expected);
        tokio::time::sleep(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn load_shed_takes_clients_out_of_the_queue_and_rejects_them() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(1))
        .start(handle(echo))
        .await
        .unwrap();
    let mut first = clients.connect().await.unwrap();
    assert!(echoes(&mut first, "served").await);
    let served = accepted.next().await;
    for _ in 0..3 {
        let _shed = clients.connect().await.unwrap();
        assert_eq!(accepted.outcome().await.to_string(), "rejected: overloaded");
    }
    assert_eq!(server.stats().rejected, 3);
    assert_eq!(open_and_waiting(&server, &clients).await, (1, 0));
    drop(first);
    soon(served.closed()).await;
    // Readiness is checked for this client, not remembered from before.
    assert!(echoes(&mut clients.connect().await.unwrap(), "now").await);
}

#[tokio::test(start_paused = true)]
async fn timeout_is_the_longest_life_of_a_connection() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .layer(TimeoutLayer::new(MINUTE))
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    // Activity does not extend the time.
    for _ in 0..5 {
        tokio::time::sleep(MINUTE / 6).await;
        assert!(echoes(&mut client, "busy").await);
    }
    assert!(connection.outcome().is_none());
    tokio::time::sleep(MINUTE / 5).await;
    assert_eq!(
        soon(connection.closed()).await.to_string(),
        "timed out: lifetime"
    );
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

/// Not `Clone`, and ready while it has capacity.
struct Places {
    taken: Arc<AtomicUsize>,
    max: usize,
}

impl Service<Connection> for Places {
    type Response = ();
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.taken.load(Ordering::Relaxed) < self.max {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, conn: Connection) -> Self::Future {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let taken = self.taken.clone();
        Box::pin(async move {
            let result = echo(conn).await;
            taken.fetch_sub(1, Ordering::Relaxed);
            Ok(result?)
        })
    }
}

#[tokio::test]
async fn buffer_shares_what_cannot_be_cloned_and_when_it_is_full_clients_wait_in_the_queue() {
    let (server, clients, mut accepted) = memory_server();
    let taken = Arc::new(AtomicUsize::new(0));
    let server = server
        .acceptors(3)
        .layer(BufferLayer::new(1))
        .start(Places {
            taken: taken.clone(),
            max: 1,
        })
        .await
        .unwrap();
    let mut all = connect(&clients, 6).await;
    assert!(echoes(&mut all[0], "served").await);
    // One client is being served, one is held by the worker, and one is in the buffer. All others
    // stay in the queue.
    for _ in 0..3 {
        accepted.next().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!((server.connection_count(), clients.waiting()), (3, 3));
    for mut client in all {
        assert!(echoes(&mut client, "served in turn").await);
    }
}

#[tokio::test(start_paused = true)]
async fn filter_rejects_a_client_and_serves_the_next() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server
        .layer(FilterLayer::new(|conn: Connection| {
            match conn.peer_addr().to_string().as_str() {
                "client:1" => Err(BoxError::from(Rejected::new("not the first"))),
                _ => Ok(conn),
            }
        }))
        .start(handle(echo))
        .await
        .unwrap();
    let mut all = connect(&clients, 2).await;
    assert_eq!(
        accepted.outcome().await.to_string(),
        "rejected: not the first"
    );
    assert!(echoes(&mut all[1], "served").await);
}

#[tokio::test(start_paused = true)]
async fn async_filter_makes_up_its_mind_while_others_are_served() {
    let (server, clients, mut accepted) = memory_server();
    let knock = |mut conn: Connection| async move {
        match conn.read_u8().await? {
            b'!' => Ok(conn),
            _ => Err(BoxError::from(Rejected::new("knock"))),
        }
    };
    let server = server
        .layer(AsyncFilterLayer::new(knock))
        // The permit reserved for a client is the one it is served with later.
        .layer(ConcurrencyLimitLayer::new(3))
        .start(handle(echo))
        .await
        .unwrap();
    let mut all = connect(&clients, 3).await;
    let first = accepted.next().await;
    all[2].write_u8(b'!').await.unwrap();
    assert!(echoes(&mut all[2], "served").await);
    all[1].write_u8(b'?').await.unwrap();
    assert_eq!(accepted.outcome().await.to_string(), "rejected: knock");
    assert!(first.outcome().is_none());
    all[0].write_u8(b'!').await.unwrap();
    assert!(echoes(&mut all[0], "served as well").await);
    assert_eq!(open_and_waiting(&server, &clients).await, (2, 0));
}

#[tokio::test(start_paused = true)]
async fn map_request_changes_the_connection() {
    let (server, clients, _accepted) = memory_server();
    let _server = server
        .layer(MapRequestLayer::new(|mut conn: Connection| {
            conn.extensions_mut().insert("from the layer");
            conn.map_io(BufStream::new)
        }))
        .start(handle(|mut conn: Connection| async move {
            let text = *conn.extensions().get::<&str>().unwrap();
            conn.write_all(text.as_bytes()).await?;
            conn.flush().await
        }))
        .await
        .unwrap();
    let mut told = String::new();
    clients
        .connect()
        .await
        .unwrap()
        .read_to_string(&mut told)
        .await
        .unwrap();
    assert_eq!(told, "from the layer");
}

#[tokio::test(start_paused = true)]
async fn a_layer_can_be_optional() {
    for limit in [Some(1), None] {
        let (server, clients, _accepted) = memory_server();
        let server = server
            .layer(option_layer(limit.map(ConcurrencyLimitLayer::new)))
            .start(handle(echo))
            .await
            .unwrap();
        let _all = connect(&clients, 2).await;
        let expected = if limit.is_some() { (1, 1) } else { (2, 0) };
        assert_eq!(open_and_waiting(&server, &clients).await, expected);
    }
}

/// Serves two of three clients, however the stack is boxed.
async fn serves_two_of_three(
    server: Server,
    service: impl reagent::ConnectionService + Clone,
    clients: Clients,
) {
    let server = server.acceptors(2).start(service).await.unwrap();
    let mut all = connect(&clients, 3).await;
    assert_eq!(open_and_waiting(&server, &clients).await, (2, 1));
    for client in &mut all[..2] {
        assert!(echoes(client, "boxed").await);
    }
    drop(all.remove(0));
    assert_eq!(open_and_waiting(&server, &clients).await, (2, 0));
    assert!(echoes(&mut all[1], "boxed").await);
}

#[tokio::test(start_paused = true)]
async fn a_boxed_stack_passes_its_readiness_on() {
    let stack = || {
        ServiceBuilder::new()
            .layer(ConcurrencyLimitLayer::new(2))
            .service(handle(echo))
    };
    let (server, clients, _accepted) = memory_server();
    serves_two_of_three(server, BoxCloneService::new(stack()), clients).await;
    let (server, clients, _accepted) = memory_server();
    serves_two_of_three(server, BoxCloneSyncService::new(stack()), clients).await;
}

/// Its readiness fails a given number of times.
#[derive(Clone)]
struct Brittle(Arc<AtomicUsize>);

impl Service<Connection> for Brittle {
    type Response = ();
    type Error = io::Error;
    type Future = Ready<io::Result<()>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let failures = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        Poll::Ready(match failures {
            Ok(_) => Err(io::Error::other("not today")),
            Err(_) => Ok(()),
        })
    }

    fn call(&mut self, conn: Connection) -> Self::Future {
        assert_eq!(conn.info().phase, Phase::Handling);
        ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_outlives_a_service_that_fails_before_it() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .start(Brittle(Arc::new(AtomicUsize::new(3))))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    assert!(matches!(accepted.outcome().await, Outcome::Completed));
    assert_eq!((server.stats().accepted, clients.waiting()), (1, 0));
}
