//! `max_connections` is never exceeded, and every permit can be used.

use crate::support::{
    Dice, Gauge, LONG, Log, Moody, connect, connect_to, echo, echoes, settle, until,
};
use reagent::{
    Acceptor, BoxError, Connection, ConnectionService, Observer, Server, ServerHandle, event,
    handle,
    testing::{Clients, MemoryListener},
};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{io::DuplexStream, task::JoinSet, time::Instant};
use tower::service_fn;

/// An echo handler that counts itself in the gauge.
fn counted_echo(
    gauge: &Gauge,
) -> impl ConnectionService<Future: Send, Error = BoxError, Response = ()> + Clone {
    let gauge = gauge.clone();
    handle(move |conn: Connection| {
        let inside = gauge.enter();
        async move {
            let result = echo(conn).await;
            drop(inside);
            result
        }
    })
}

/// A server without sockets whose connections are counted both by the handler and by an observer.
struct Trial {
    server: ServerHandle,
    clients: Clients,
    handlers: Gauge,
    events: Gauge,
    failures: Arc<AtomicUsize>,
}

impl Trial {
    async fn start(limit: usize, acceptors: usize) -> Self {
        let (listener, clients) = MemoryListener::new();
        let (handlers, events) = (Gauge::default(), Gauge::default());
        let (service, failures) = Moody::new(counted_echo(&handlers));
        let server = Server::new(listener)
            .max_connections(limit)
            .acceptors(acceptors)
            .observe(events.clone())
            .start(service)
            .await
            .unwrap();
        Trial {
            server,
            clients,
            handlers,
            events,
            failures,
        }
    }

    /// Serves clients that come and go, `width` of them at a time.
    fn churn(&self, width: usize, rounds: usize) -> JoinSet<()> {
        let mut all = JoinSet::new();
        for _ in 0..width {
            let clients = self.clients.clone();
            all.spawn(async move {
                for _ in 0..rounds {
                    let mut client = clients.connect().await.unwrap();
                    assert!(echoes(&mut client, "served").await);
                }
            });
        }
        all
    }

    async fn open(&self, count: usize) -> Vec<DuplexStream> {
        let mut open = Vec::with_capacity(count);
        for _ in 0..count {
            open.push(self.clients.connect().await.unwrap());
        }
        open
    }

    async fn until_open(&self, count: usize) {
        until(&format!("{count} are open"), || {
            self.server.connection_count() == count
        })
        .await;
    }

    /// Connects more clients than the limit. Exactly `limit` are admitted, and the others as those
    /// leave.
    async fn admits_exactly(&self, limit: usize) {
        self.until_open(0).await;
        self.events.forget();
        self.handlers.forget();
        let waiting = self.open(limit + 5).await;
        self.until_open(limit).await;
        for mut client in waiting {
            assert!(echoes(&mut client, "served").await);
        }
        self.until_open(0).await;
        assert_eq!((self.events.most(), self.events.now()), (limit, 0));
        assert!(self.handlers.most() <= limit);
    }

    fn was_never_above(&self, limit: usize) {
        assert!(
            self.events.most() <= limit,
            "{} reported by events",
            self.events.most()
        );
        assert!(
            self.handlers.most() <= limit,
            "{} served",
            self.handlers.most()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_never_exceeded_whatever_the_number_of_acceptors() {
    for limit in [1, 3, 100] {
        for acceptors in [1, 10] {
            let trial = Trial::start(limit, acceptors).await;
            trial.churn(limit + 20, 10).join_all().await;
            trial.was_never_above(limit);
            trial.admits_exactly(limit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_exact_after_pauses() {
    for (limit, acceptors) in [(1, 10), (3, 1), (3, 10)] {
        let trial = Trial::start(limit, acceptors).await;
        let clients = trial.churn(20, 20);
        for _ in 0..200 {
            trial.server.pause();
            tokio::task::yield_now().await;
            trial.server.resume();
            tokio::task::yield_now().await;
        }
        clients.join_all().await;
        trial.was_never_above(limit);
        trial.admits_exactly(limit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_exact_after_acceptors_failed() {
    for (limit, acceptors) in [(1, 10), (3, 1), (3, 10)] {
        let trial = Trial::start(limit, acceptors).await;
        for _ in 0..10 {
            trial.failures.store(acceptors.min(3), SeqCst);
            trial.churn(20, 2).join_all().await;
            assert_eq!(trial.failures.load(SeqCst), 0);
        }
        trial.was_never_above(limit);
        trial.admits_exactly(limit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_exact_after_eighty_changes_at_once() {
    let trial = Trial::start(10, 4).await;
    let clients = trial.churn(30, 20);
    let mut changes = JoinSet::new();
    for seed in 1..=80 {
        let server = trial.server.clone();
        changes.spawn(async move {
            let mut dice = Dice(seed * 0x9E37_79B9);
            for _ in 0..20 {
                server.set_max_connections(dice.roll(40));
                tokio::task::yield_now().await;
            }
        });
    }
    changes.join_all().await;
    trial.server.set_max_connections(7);
    clients.join_all().await;
    trial.was_never_above(40);
    trial.admits_exactly(7).await;
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_that_is_still_exceeded_admits_nobody() {
    let trial = Trial::start(5, 2).await;
    let mut open = trial.open(5).await;
    trial.until_open(5).await;
    trial.server.set_max_connections(1);
    let mut waiting = trial.open(1).await.remove(0);
    settle().await;
    trial.server.set_max_connections(3);
    settle().await;
    assert_eq!(trial.server.connection_count(), 5);
    for left in [4, 3] {
        open.pop();
        settle().await;
        assert_eq!(
            (trial.server.connection_count(), trial.clients.waiting()),
            (left, 1)
        );
    }
    open.pop();
    assert!(echoes(&mut waiting, "hello").await);
    assert_eq!(
        (trial.server.connection_count(), trial.clients.waiting()),
        (3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_closes_nothing() {
    let trial = Trial::start(5, 1).await;
    let mut open = trial.open(5).await;
    trial.until_open(5).await;
    trial.server.set_max_connections(0);
    settle().await;
    for client in &mut open {
        assert!(echoes(client, "still here").await);
    }
    assert_eq!(trial.server.connection_count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_admits_waiting_clients() {
    let trial = Trial::start(2, 10).await;
    let mut open = trial.open(6).await;
    settle().await;
    assert_eq!(
        (trial.server.connection_count(), trial.clients.waiting()),
        (2, 4)
    );
    let raised = Instant::now();
    trial.server.set_max_connections(5);
    for client in &mut open[..5] {
        assert!(echoes(client, "hello").await);
    }
    assert_eq!(raised.elapsed(), Duration::ZERO);
    settle().await;
    assert_eq!(
        (trial.server.connection_count(), trial.clients.waiting()),
        (5, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_freed_place_admits_the_next_client() {
    for acceptors in [1, 10] {
        for waited in [Duration::ZERO, Duration::from_secs(3600)] {
            let trial = Trial::start(2, acceptors).await;
            let mut open = trial.open(3).await;
            settle().await;
            tokio::time::sleep(waited).await;
            assert_eq!(
                (trial.server.connection_count(), trial.clients.waiting()),
                (2, 1)
            );
            let freed = Instant::now();
            drop(open.remove(0));
            assert!(echoes(&mut open[1], "my turn").await);
            assert_eq!(freed.elapsed(), Duration::ZERO);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_came_without_a_limit_count_once_there_is_one() {
    let trial = Trial::start(usize::MAX, 3).await;
    let mut open = trial.open(20).await;
    settle().await;
    assert_eq!(trial.server.connection_count(), 20);
    open.drain(..5);
    settle().await;

    trial.server.set_max_connections(15);
    open.append(&mut trial.open(2).await);
    settle().await;
    assert_eq!(
        (trial.server.connection_count(), trial.clients.waiting()),
        (15, 2)
    );
    open.drain(..1);
    settle().await;
    assert_eq!(
        (trial.server.connection_count(), trial.clients.waiting()),
        (15, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn it_can_be_lifted_and_set_again() {
    let trial = Trial::start(10, 3).await;
    let mut open = trial.open(20).await;
    settle().await;
    assert_eq!(trial.server.connection_count(), 10);

    trial.server.set_max_connections(usize::MAX);
    settle().await;
    assert_eq!(trial.server.connection_count(), 20);
    assert_eq!(trial.server.stats().max_connections, None);

    trial.server.set_max_connections(10);
    open.append(&mut trial.open(1).await);
    settle().await;
    assert_eq!(
        (trial.server.connection_count(), trial.clients.waiting()),
        (20, 1)
    );
    for client in &mut open[..20] {
        assert!(echoes(client, "kept").await);
    }
    open.drain(..11);
    assert!(echoes(&mut open[9], "admitted").await);
    assert_eq!(trial.server.connection_count(), 10);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_limit_by_default() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    assert_eq!(server.stats().max_connections, None);
    let mut open = Vec::new();
    for _ in 0..300 {
        open.push(clients.connect().await.unwrap());
    }
    settle().await;
    assert_eq!(server.connection_count(), 300);
    server.set_max_connections(10);
    assert_eq!(server.stats().max_connections, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_admits_nobody_until_it_is_raised() {
    let trial = Trial::start(0, 2).await;
    let mut client = trial.open(1).await.remove(0);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        (trial.server.connection_count(), trial.clients.waiting()),
        (0, 1)
    );
    trial.server.set_max_connections(1);
    assert!(echoes(&mut client, "at last").await);
}

#[tokio::test(start_paused = true)]
async fn every_way_to_ask_gives_the_same_answer() {
    let trial = Trial::start(4, 2).await;
    let agree = |open, max| {
        let stats = trial.server.stats();
        assert_eq!((stats.open, stats.max_connections), (open, Some(max)));
        assert_eq!(trial.server.connection_count(), open);
        assert_eq!(trial.server.connections().len(), open);
        assert_eq!((trial.events.now(), trial.handlers.now()), (open, open));
    };
    agree(0, 4);
    let mut open = trial.open(6).await;
    settle().await;
    agree(4, 4);
    trial.server.set_max_connections(5);
    settle().await;
    agree(5, 5);
    trial.failures.store(1, SeqCst);
    open.pop();
    open.clear();
    settle().await;
    agree(0, 5);
    // The limit outlives the service of an acceptor.
    let _open = trial.open(6).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(trial.failures.load(SeqCst), 0);
    agree(5, 5);
}

#[tokio::test(start_paused = true)]
async fn idle_acceptors_park_nothing() {
    let trial = Trial::start(3, 10).await;
    settle().await;
    assert_eq!(trial.server.stats().acceptors, 10);
    for mut client in trial.open(3).await {
        assert!(echoes(&mut client, "one").await);
        // By now, each acceptor has been woken for a client and found the queue empty.
        settle().await;
    }
    let mut open = trial.open(3).await;
    for client in &mut open {
        assert!(echoes(client, "all").await);
    }
    assert_eq!(trial.server.connection_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_another_task_keeps_its_place() {
    let (listener, clients) = MemoryListener::new();
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let server = Server::new(listener)
        .max_connections(1)
        .start(handle(move |conn: Connection| {
            let old = keep.lock().unwrap().replace(conn);
            assert!(old.is_none());
            async { io::Result::Ok(()) }
        }))
        .await
        .unwrap();
    let _first = clients.connect().await.unwrap();
    let _second = clients.connect().await.unwrap();
    settle().await;
    assert_eq!((server.connection_count(), clients.waiting()), (1, 1));
    let first = kept.lock().unwrap().take();
    drop(first);
    settle().await;
    assert_eq!((server.connection_count(), clients.waiting()), (1, 0));
}

#[tokio::test]
async fn the_eleventh_client_waits_for_one_of_ten() {
    let server = Server::bind("127.0.0.1:0")
        .max_connections(10)
        .start(handle(echo))
        .await
        .unwrap();
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut client = connect(&server).await;
        assert!(echoes(&mut client, "served").await);
        open.push(client);
    }
    let mut eleventh = connect(&server).await;
    let mut byte = [0];
    tokio::io::AsyncWriteExt::write_all(&mut eleventh, b"?")
        .await
        .unwrap();
    for client in &mut open {
        assert!(echoes(client, "still served").await);
    }
    assert_eq!(
        eleventh.try_read(&mut byte).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert_eq!(server.connection_count(), 10);
    open.pop();
    let read = tokio::io::AsyncReadExt::read_exact(&mut eleventh, &mut byte);
    tokio::time::timeout(LONG, read).await.unwrap().unwrap();
    assert_eq!(byte, *b"?");
    assert_eq!(server.connection_count(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_never_exceeded_over_sockets() {
    for reuse_port in [false, true] {
        let (handlers, events) = (Gauge::default(), Gauge::default());
        let server = Server::bind("127.0.0.1:0")
            .options(|options| options.reuse_port = reuse_port)
            .max_connections(3)
            .acceptors(10)
            .observe(events.clone())
            .start(counted_echo(&handlers))
            .await
            .unwrap();
        let mut clients = JoinSet::new();
        for _ in 0..30 {
            let addr = server.local_addr().clone();
            clients.spawn(async move {
                for _ in 0..10 {
                    assert!(echoes(&mut connect_to(&addr).await, "served").await);
                }
            });
        }
        clients.join_all().await;
        assert!(events.most() <= 3 && handlers.most() <= 3);
        until("all have left", || server.connection_count() == 0).await;
        assert_eq!(server.stats().accepted, 300);
    }
}

#[tokio::test]
async fn two_queues_that_share_a_limit_of_one_are_both_served() {
    let gauge = Gauge::default();
    let served = Arc::new(Mutex::new([0; 2]));
    let count = served.clone();
    let make = service_fn(move |acceptor: Acceptor| {
        let count = count.clone();
        let service = handle(move |conn: Connection| {
            count.lock().unwrap()[acceptor.index] += 1;
            echo(conn)
        });
        async { Ok::<_, BoxError>(service) }
    });
    let server = Server::bind("127.0.0.1:0")
        .options(|options| options.reuse_port = true)
        .acceptors(2)
        .max_connections(1)
        .observe(gauge.clone())
        .start_make(make)
        .await
        .unwrap();
    // The kernel selects the queue by the client's port, so it does not happen that all of these
    // clients come to one queue.
    for _ in 0..40 {
        assert!(echoes(&mut connect(&server).await, "alone").await);
    }
    let mut clients = JoinSet::new();
    for _ in 0..40 {
        let addr = server.local_addr().clone();
        clients.spawn(async move { echoes(&mut connect_to(&addr).await, "in a crowd").await });
    }
    assert!(clients.join_all().await.into_iter().all(|served| served));
    let [first, second] = *served.lock().unwrap();
    assert!(first > 0 && second > 0, "{first} and {second}");
    assert_eq!(first + second, 80);
    assert_eq!(gauge.most(), 1);
}

/// Records how long clients waited.
#[derive(Clone, Default)]
struct Waits(Arc<Mutex<Vec<Duration>>>);

impl Observer for Waits {
    fn limit_waited(&self, event: &event::LimitWaited<'_>) {
        self.0.lock().unwrap().push(event.waited);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_clients_are_reported_once_at_each_end() {
    let (listener, clients) = MemoryListener::new();
    let (log, waits) = (Log::default(), Waits::default());
    let server = Server::new(listener)
        .max_connections(1)
        .observe(log.clone())
        .observe(waits.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let first = clients.connect().await.unwrap();
    settle().await;
    // No client is waiting yet.
    assert_eq!(log.count("limit"), 0);

    let mut second = clients.connect().await.unwrap();
    settle().await;
    assert_eq!(
        (log.count("limit reached"), log.count("limit waited")),
        (1, 0)
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(first);
    assert!(echoes(&mut second, "hello").await);
    assert_eq!(
        (log.count("limit reached"), log.count("limit waited")),
        (1, 1)
    );
    assert_eq!(waits.0.lock().unwrap()[0].as_secs(), 60);
    assert_eq!(server.connection_count(), 1);
}
