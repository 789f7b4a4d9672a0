//! The pool of acceptors: their number, their services, and their recovery from failures.

use crate::{
    port::Port,
    support::{Log, connect, echo, echoes, rest, serve, stop, until},
};
use reagent::{
    Acceptor, BoxError, Connection, ErrorChain, Handler, Observer, Server, ServerHandle,
    ServerStatus, Spawn, TokioSpawn, event, handle,
    testing::{Clients, MemoryListener},
};
use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::DuplexStream,
    net::TcpStream,
    time::{Instant, sleep},
};
use tower::Service;

/// Longer than anything in these tests, on a paused clock.
const HOUR: Duration = Duration::from_secs(3600);

type Echo = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The next behaviour of a scripted service or of its factory. After the script, everything
/// succeeds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Works,
    MakeFails,
    MakePanics,
    ReadyFails,
    ReadyPanics,
    CallPanics,
}

/// One script shared by all acceptors.
#[derive(Clone, Debug, Default)]
struct Play(Arc<Mutex<VecDeque<Next>>>);

impl Play {
    fn new(steps: impl IntoIterator<Item = Next>) -> Self {
        Play(Arc::new(Mutex::new(steps.into_iter().collect())))
    }

    fn add(&self, steps: impl IntoIterator<Item = Next>) {
        self.0.lock().unwrap().extend(steps);
    }

    /// Takes the next step if it is one of these.
    fn is(&self, steps: &[Next]) -> Option<Next> {
        let mut play = self.0.lock().unwrap();
        let is_next = play.front().is_some_and(|next| steps.contains(next));
        if is_next { play.pop_front() } else { None }
    }

    async fn make(self) -> Result<Scripted, BoxError> {
        match self.is(&[Next::Works, Next::MakeFails, Next::MakePanics]) {
            Some(Next::MakeFails) => Err("cannot be made".into()),
            Some(Next::MakePanics) => panic!("boom in make"),
            _ => Ok(Scripted {
                play: self,
                inner: handle(boxed_echo),
            }),
        }
    }
}

fn boxed_echo(conn: Connection) -> Echo {
    Box::pin(echo(conn))
}

/// An echo service that fails as scripted.
struct Scripted {
    play: Play,
    inner: Handler<fn(Connection) -> Echo>,
}

impl Service<Connection> for Scripted {
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.play.is(&[Next::ReadyFails, Next::ReadyPanics]) {
            Some(Next::ReadyFails) => Poll::Ready(Err("not ready any more".into())),
            Some(_) => panic!("boom in poll_ready"),
            None => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, conn: Connection) -> Self::Future {
        if self.play.is(&[Next::CallPanics]).is_some() {
            panic!("boom in call");
        }
        let echo = Service::<Connection>::call(&mut self.inner, conn);
        Box::pin(echo)
    }
}

/// A server in memory that follows the script.
async fn play(play: &Play, log: &Log) -> (ServerHandle, Clients) {
    let (listener, clients) = MemoryListener::new();
    let play = play.clone();
    let make = tower::service_fn(move |_: Acceptor| play.clone().make());
    let server = Server::new(listener)
        .observe(log.clone())
        .start_make(make)
        .await
        .unwrap();
    (server, clients)
}

async fn is_served(clients: &Clients) -> bool {
    echoes(&mut clients.connect().await.unwrap(), "hello").await
}

async fn connect_many(server: &ServerHandle, count: usize) -> Vec<TcpStream> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        clients.push(connect(server).await);
    }
    clients
}

async fn all_served(clients: &mut [TcpStream]) {
    for client in clients {
        assert!(echoes(client, "hello").await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_of_acceptors_that_must_be_a_mistake_is_cut() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    server.set_acceptors(usize::MAX);
    until("there are the most", || server.stats().acceptors == 1024).await;
    assert!(is_served(&clients).await);
    stop(&server).await;
}

#[tokio::test]
async fn the_pool_has_as_many_acceptors_as_configured() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let log = Log::default();
    let server = Server::bind(["127.0.0.1:0", "[::1]:0"])
        .acceptors(2)
        .observe(log.clone());
    let server = server.start(handle(echo)).await.unwrap();
    assert_eq!(server.stats().acceptors, 4);
    for count in [10, 3, 7, 1, 4] {
        server.set_acceptors(count);
        until("each address has them", || {
            server.stats().acceptors == 2 * count
        })
        .await;
        all_served(&mut connect_many(&server, 5).await).await;
    }
    stop(&server).await;
    assert_eq!(server.stats().acceptors, 0);
    assert_eq!(log.count("acceptor started"), log.count("acceptor stopped"));
    assert_eq!(log.count("acceptor failed"), 0);
}

#[tokio::test]
async fn any_number_of_acceptors_serves_a_hundred_clients() {
    for count in [1, 4, 9, 10] {
        let server = Server::bind("127.0.0.1:0")
            .acceptors(count)
            .start(handle(echo));
        let server = server.await.unwrap();
        let mut clients = connect_many(&server, 100).await;
        all_served(&mut clients).await;
        assert_eq!(server.connection_count(), 100);
        drop(clients);
        stop(&server).await;
    }
}

#[tokio::test]
async fn shrinking_the_pool_touches_no_connection() {
    let server = Server::bind("127.0.0.1:0")
        .acceptors(10)
        .start(handle(echo))
        .await
        .unwrap();
    let mut busy = connect_many(&server, 10).await;
    all_served(&mut busy).await;
    server.set_acceptors(1);
    until("one is left", || server.stats().acceptors == 1).await;
    all_served(&mut busy).await;
    assert_eq!(server.connection_count(), 10);
    all_served(&mut connect_many(&server, 5).await).await;
    drop(busy);
    stop(&server).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_accepted_after_a_pause() {
    for by_number in [false, true] {
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener).start(handle(echo)).await.unwrap();
        let mut open = clients.connect().await.unwrap();
        assert!(echoes(&mut open, "before").await);

        if by_number {
            server.set_acceptors(0);
        } else {
            server.pause();
        }
        let mut waiting: Vec<DuplexStream> = Vec::new();
        for _ in 0..3 {
            waiting.push(clients.connect().await.unwrap());
        }
        sleep(HOUR).await;
        assert_eq!(
            (clients.waiting(), server.connection_count()),
            (3, 1),
            "{by_number}"
        );
        assert_eq!(server.stats().status, ServerStatus::Paused);
        assert!(echoes(&mut open, "meanwhile").await);

        if by_number {
            server.set_acceptors(2);
        } else {
            server.resume();
        }
        for client in &mut waiting {
            assert!(echoes(client, "after").await);
        }
        assert_eq!(server.stats().status, ServerStatus::Running);
        drop((open, waiting));
        stop(&server).await;
    }
}

#[tokio::test]
async fn a_server_pauses_and_resumes_many_times() {
    let server = serve("127.0.0.1:0").await;
    let mut open = connect_many(&server, 1).await;
    all_served(&mut open).await;
    for _ in 0..50 {
        server.pause();
        let mut waiting = connect_many(&server, 3).await;
        all_served(&mut open).await;
        server.resume();
        all_served(&mut waiting).await;
    }
    assert_eq!(server.stats().accepted, 151);
    drop(open);
    stop(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_may_start_with_no_acceptor() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .acceptors(0)
        .start(handle(echo))
        .await
        .unwrap();
    assert_eq!(server.stats().status, ServerStatus::Paused);
    let mut client = clients.connect().await.unwrap();
    sleep(HOUR).await;
    assert_eq!((clients.waiting(), server.connection_count()), (1, 0));
    // Two things hold it back, and both have to be undone.
    server.pause();
    server.set_acceptors(3);
    sleep(HOUR).await;
    assert_eq!(clients.waiting(), 1);
    server.resume();
    assert!(echoes(&mut client, "hello").await);
    assert_eq!(server.stats().acceptors, 3);
}

#[tokio::test]
async fn a_paused_server_can_be_drained_and_serves_waiting_clients() {
    let server = serve("127.0.0.1:0").await;
    server.pause();
    let mut waiting = connect_many(&server, 5).await;
    let served = async {
        all_served(&mut waiting).await;
        waiting.clear();
    };
    let (report, ()) = tokio::join!(server.drain(HOUR), served);
    assert_eq!((report.finished, report.aborted), (5, 0));
    assert_eq!(server.stats().status, ServerStatus::Stopped);
}

#[tokio::test]
async fn every_acceptor_gets_a_service_that_was_made_for_it() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let made = Arc::new(Mutex::new(Vec::new()));
    let make = {
        let made = made.clone();
        tower::service_fn(move |acceptor: Acceptor| {
            made.lock()
                .unwrap()
                .push((acceptor.local_addr.to_string(), acceptor.index));
            async { Ok::<_, BoxError>(handle(echo)) }
        })
    };
    let server = Server::bind(["127.0.0.1:0", "[::1]:0"]).acceptors(3);
    let server = server.start_make(make).await.unwrap();
    let expected = |count: usize| -> Vec<_> {
        let addrs = server.local_addrs().map(|addr| addr.to_string());
        addrs
            .flat_map(|addr| (0..count).map(move |index| (addr.clone(), index)))
            .collect()
    };
    let made = || {
        let mut made = made.lock().unwrap().clone();
        made.sort();
        made
    };
    assert_eq!(made(), expected(3));
    server.set_acceptors(5);
    until("there are five for each", || server.stats().acceptors == 10).await;
    assert_eq!(made(), expected(5));
    stop(&server).await;
}

#[tokio::test]
async fn a_service_that_cannot_be_made_fails_the_start() {
    let port = Port::new();
    let addr = port.addr();
    for (next, message) in [
        (
            Next::MakeFails,
            "cannot make the service of an acceptor: cannot be made",
        ),
        (
            Next::MakePanics,
            "cannot make the service of an acceptor: panicked: boom in make",
        ),
    ] {
        // The first two services are made, the third one is not.
        let play = Play::new([Next::Works, Next::Works, next]);
        let make = tower::service_fn(move |_: Acceptor| play.clone().make());
        let log = Log::default();
        let server = Server::bind(addr).acceptors(4).observe(log.clone());
        let error = server.start_make(make).await.unwrap_err();
        assert_eq!(ErrorChain(&error).to_string(), message);
        drop(std::net::TcpListener::bind(addr).unwrap());
        assert_eq!(log.count("listener started"), 0);
        assert_eq!(log.count("acceptor started"), log.count("acceptor stopped"));
    }
}

/// Records when acceptors failed and when they are retried.
#[derive(Clone, Debug, Default)]
struct Delays(Arc<Mutex<Vec<(Instant, Duration)>>>);

impl Observer for Delays {
    fn acceptor_failed(&self, event: &event::AcceptorFailed<'_>) {
        self.0
            .lock()
            .unwrap()
            .push((Instant::now(), event.retry_in));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_made_again_is_tried_until_it_can() {
    let mut steps = vec![Next::ReadyFails];
    steps.extend([Next::MakeFails, Next::MakePanics].repeat(5));
    let play = Play::new([Next::Works]);
    let (listener, clients) = MemoryListener::new();
    let (log, delays) = (Log::default(), Delays::default());
    let make = {
        let play = play.clone();
        tower::service_fn(move |_: Acceptor| play.clone().make())
    };
    let server = Server::new(listener)
        .observe(log.clone())
        .observe(delays.clone());
    let server = server.start_make(make).await.unwrap();
    play.add(steps);
    // The client that makes the service fail is served by the next service.
    assert!(is_served(&clients).await);

    let failed: Vec<_> = log
        .events()
        .into_iter()
        .filter(|event| event.starts_with("acceptor failed"))
        .collect();
    assert_eq!(failed.len(), 11);
    assert_eq!(failed[0], "acceptor failed: 0: not ready any more");
    assert_eq!(failed[1], "acceptor failed: 0: cannot be made");
    assert_eq!(failed[2], "acceptor failed: 0: panicked: boom in make");
    let delays = delays.0.lock().unwrap().clone();
    let told: Vec<_> = delays.iter().map(|(_, delay)| delay.as_millis()).collect();
    assert_eq!(told, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
    for pair in delays.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= pair[0].1, "it was tried too early");
    }
    assert_eq!(server.stats().acceptors, 1);

    // Serving a client ends the series of failures.
    play.add([Next::ReadyFails]);
    let before = Instant::now();
    assert!(is_served(&clients).await);
    assert!(
        before.elapsed() < Duration::from_millis(50),
        "the back-off went on"
    );
    stop(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_replaced_and_costs_no_client() {
    let (show, log) = (Play::default(), Log::default());
    let (server, clients) = play(&show, &log).await;
    let mut open = clients.connect().await.unwrap();
    assert!(echoes(&mut open, "before").await);
    for (round, next) in [Next::ReadyFails, Next::ReadyPanics]
        .repeat(3)
        .into_iter()
        .enumerate()
    {
        show.add([next]);
        assert!(is_served(&clients).await);
        assert_eq!(log.count("acceptor failed: 0: "), round + 1);
    }
    assert_eq!(
        log.count("acceptor failed: 0: panicked: boom in poll_ready"),
        3
    );
    assert!(echoes(&mut open, "after").await);
    assert_eq!(log.count("listener lost"), 0);
    assert_eq!(server.stats().acceptors, 1);
    drop(open);
    stop(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_call_costs_that_connection_alone() {
    let (show, log) = (Play::default(), Log::default());
    let (server, clients) = play(&show, &log).await;
    let mut open = clients.connect().await.unwrap();
    assert!(echoes(&mut open, "before").await);
    let began = Instant::now();
    for round in 1..=6 {
        show.add([Next::CallPanics]);
        let (mut unlucky, mut next) = (
            clients.connect().await.unwrap(),
            clients.connect().await.unwrap(),
        );
        assert_eq!(rest(&mut unlucky).await.unwrap(), b"");
        assert!(echoes(&mut next, "hello").await);
        assert_eq!(server.stats().panicked, round);
        if round == 1 {
            // The next client does not wait. Only a service that panics repeatedly is delayed.
            assert_eq!(began.elapsed(), Duration::ZERO);
        }
    }
    let told = log.events();
    let told = told
        .iter()
        .filter(|event| event.ends_with("panicked: boom in call"));
    assert_eq!((told.count(), log.count("acceptor failed")), (6, 0));
    assert_eq!(
        began.elapsed(),
        Duration::from_millis(5 + 10 + 20 + 40 + 80)
    );
    assert!(echoes(&mut open, "after").await);
    drop(open);
    stop(&server).await;
    assert_eq!((server.stats().accepted, server.stats().completed), (13, 7));
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_fails_does_not_delay_the_others() {
    let show = Play::new([]);
    let log = Log::default();
    let (listener, clients) = MemoryListener::new();
    let make = {
        let show = show.clone();
        tower::service_fn(move |_: Acceptor| show.clone().make())
    };
    let server = Server::new(listener).acceptors(2).observe(log.clone());
    let server = server.start_make(make).await.unwrap();
    show.add([Next::ReadyFails].into_iter().chain([Next::MakeFails; 10]));
    let before = Instant::now();
    for _ in 0..5 {
        assert!(is_served(&clients).await);
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(server.stats().acceptors, 1);
    log.wait_for("acceptor started", 3).await;
    assert_eq!(server.stats().acceptors, 2);
    stop(&server).await;
}

/// Counts the tasks it runs or drops.
#[derive(Clone, Debug, Default)]
struct Counting {
    count: Arc<AtomicUsize>,
    drops: bool,
}

impl Spawn for Counting {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if !self.drops {
            TokioSpawn.spawn(task);
        }
    }
}

#[tokio::test]
async fn connections_run_on_the_configured_spawner() {
    let spawn = Counting::default();
    let server = Server::bind("127.0.0.1:0")
        .acceptors(2)
        .spawn_with(spawn.clone());
    let server = server.start(handle(echo)).await.unwrap();
    for count in 1..=5 {
        assert!(echoes(&mut connect(&server).await, "hello").await);
        assert_eq!(spawn.count.load(Ordering::Relaxed), count);
    }
    stop(&server).await;
}

#[tokio::test]
async fn a_connection_that_nobody_runs_is_aborted() {
    let spawn = Counting {
        drops: true,
        ..Counting::default()
    };
    let server = Server::bind("127.0.0.1:0").spawn_with(spawn.clone());
    let server = server.start(handle(echo)).await.unwrap();
    for count in 1..=5 {
        assert_eq!(rest(&mut connect(&server).await).await.unwrap(), b"");
        until("it is over", || server.stats().aborted == count).await;
    }
    assert_eq!(server.connection_count(), 0);
    stop(&server).await;
}
