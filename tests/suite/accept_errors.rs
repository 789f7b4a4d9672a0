//! Accept errors are retried, waited out or repaired. They are never hidden and never cause a busy
//! loop.

use crate::support::{LONG, Log, connect_to, echo, echoes, keep_sockets, rest, settle};
use reagent::{
    Error, ErrorClass, Observer, Server, ServerHandle, ServerStatus, event, handle,
    testing::{Clients, FlakyListener, MemoryListener, Script},
};
use std::{
    io, iter,
    net::Shutdown,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

const CONNECTION: [i32; 14] = [
    libc::ECONNABORTED,
    libc::ECONNRESET,
    libc::ECONNREFUSED,
    libc::EINTR,
    libc::EPERM,
    libc::EPROTO,
    libc::ENOPROTOOPT,
    libc::ETIMEDOUT,
    libc::ENETDOWN,
    libc::ENETUNREACH,
    libc::EHOSTDOWN,
    libc::EHOSTUNREACH,
    libc::EOPNOTSUPP,
    libc::ENONET,
];
const EXHAUSTION: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
const FATAL: [i32; 3] = [libc::EINVAL, libc::EBADF, libc::ENOTSOCK];

fn errors(errno: i32, count: usize) -> impl Iterator<Item = io::Error> {
    iter::repeat_with(move || io::Error::from_raw_os_error(errno)).take(count)
}

/// The times at which accepting failed.
#[derive(Clone, Default)]
struct Failures(Arc<Mutex<Vec<Instant>>>);

impl Observer for Failures {
    fn accept_failed(&self, _: &event::AcceptFailed<'_>) {
        self.0.lock().unwrap().push(Instant::now());
    }
}

struct Trial {
    server: ServerHandle,
    clients: Clients,
    script: Script,
    log: Log,
    failures: Failures,
}

impl Trial {
    async fn start(acceptors: usize) -> Self {
        let (listener, clients) = MemoryListener::new();
        let (listener, script) = FlakyListener::new(listener);
        let (log, failures) = (Log::default(), Failures::default());
        let server = Server::new(listener)
            .acceptors(acceptors)
            .observe(log.clone())
            .observe(failures.clone())
            .start(handle(echo))
            .await
            .unwrap();
        settle().await;
        Trial {
            server,
            clients,
            script,
            log,
            failures,
        }
    }

    async fn serves(&self) -> bool {
        echoes(&mut self.clients.connect().await.unwrap(), "served").await
    }

    fn lost(&self) -> Option<String> {
        self.server.stats().listeners[0].lost.clone()
    }

    /// Returns the delays between failures, in milliseconds.
    fn waits(&self) -> Vec<u64> {
        let failures = self.failures.0.lock().unwrap();
        failures
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_millis().try_into().unwrap())
            .collect()
    }
}

/// Lets all other tasks run while no time passes.
async fn yield_often() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn errors_of_a_connection_are_retried_at_once() {
    for errno in CONNECTION {
        let trial = Trial::start(1).await;
        let begin = Instant::now();
        trial.script.fail_accepts(errors(errno, 10));
        assert!(trial.serves().await);
        assert_eq!(begin.elapsed(), Duration::ZERO, "{errno}");
        assert_eq!(trial.script.remaining(), 0);
        assert_eq!(trial.log.count("accept failed: Connection"), 10);
        assert_eq!(trial.log.count("exhausted"), 0);
        assert_eq!(trial.log.count("acceptor failed"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_errors_of_connections_in_a_row_are_not_spun_on() {
    let trial = Trial::start(1).await;
    trial.script.fail_accepts(errors(libc::ECONNABORTED, 80));
    yield_often().await;
    assert_eq!(trial.failures.0.lock().unwrap().len(), 65);
    assert!(trial.serves().await);
    let waits = trial.waits();
    assert!(waits[..64].iter().all(|wait| *wait == 0), "{waits:?}");
    assert_eq!(waits[64..69], [5, 10, 20, 40, 80]);
    assert!(waits[72..].iter().all(|wait| *wait == 1000), "{waits:?}");

    // Serving a client ends the recovery, for errors of other kinds too.
    trial.script.fail_accepts(errors(libc::ENOMEM, 3));
    assert!(trial.serves().await);
    assert_eq!(trial.waits()[waits.len() + 1..], [5, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_client_served_forgives_the_errors_before_it() {
    let trial = Trial::start(1).await;
    let begin = Instant::now();
    for _ in 0..10 {
        trial.script.fail_accepts(errors(libc::ECONNABORTED, 20));
        assert!(trial.serves().await);
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn exhaustion_is_waited_out_with_doubling_delays() {
    for errno in EXHAUSTION {
        let trial = Trial::start(1).await;
        // An odd number: without descriptors, every attempt but the first also accepts once more to
        // turn a client away, and that has to fail too.
        trial.script.fail_accepts(errors(errno, 19));
        assert!(trial.serves().await);
        assert_eq!(trial.script.remaining(), 0);
        let waits = trial.waits();
        for (number, wait) in waits.iter().enumerate() {
            assert_eq!(*wait, 1000.min(5 << number.min(8)), "{waits:?}");
        }
        assert_eq!(
            trial.log.count("accept failed: Exhaustion"),
            waits.len() + 1
        );
        assert_eq!(trial.log.count("exhausted"), 1);
        assert_eq!(trial.log.count("exhaustion ended"), 1);

        // The next recovery starts with short delays again.
        let before = trial.failures.0.lock().unwrap().len();
        trial.script.fail_accepts(errors(libc::ENOMEM, 3));
        assert!(trial.serves().await);
        assert_eq!(trial.waits()[before..], [5, 10]);
        assert_eq!(
            (
                trial.log.count("exhausted"),
                trial.log.count("exhaustion ended")
            ),
            (2, 2)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn endless_exhaustion_costs_two_attempts_a_second() {
    let trial = Trial::start(1).await;
    trial.script.fail_accepts(errors(libc::EMFILE, 10_000));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    // One accept call per attempt, and one to turn a waiting client away.
    let accepts = trial.script.accepts();
    assert!((7000..7250).contains(&accepts), "{accepts}");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_turned_away_only_where_that_helps() {
    for (errno, is_turned_away) in [
        (libc::EMFILE, true),
        (libc::ENFILE, true),
        (libc::ENOBUFS, false),
        (libc::ENOMEM, false),
    ] {
        let trial = Trial::start(1).await;
        let mut client = trial.clients.connect().await.unwrap();
        trial.script.fail_accepts(errors(errno, 2));
        assert_eq!(
            echoes(&mut client, "hello").await,
            !is_turned_away,
            "{errno}"
        );
        settle().await;
        let stats = trial.server.stats();
        let turned_away = u64::from(is_turned_away);
        assert_eq!(
            (stats.accepted, stats.turned_away),
            (1 - turned_away, turned_away)
        );
        let ended = format!("exhaustion ended: {turned_away} turned away");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(trial.log.count(&ended), 1);
        assert!(trial.serves().await);
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_errors_are_waited_out() {
    let trial = Trial::start(1).await;
    trial
        .script
        .fail_accepts(iter::once(io::Error::other("the moon is full")));
    assert!(trial.serves().await);
    assert_eq!(
        trial
            .log
            .count("accept failed: Exhaustion: the moon is full"),
        1
    );
    assert_eq!(trial.log.count("exhausted"), 1);
}

#[tokio::test(start_paused = true)]
async fn exhaustion_is_reported_once_however_many_acceptors_it_affects() {
    let (log, mut server, mut all) = (Log::default(), Server::bind([""; 0]), Vec::new());
    for _ in 0..4 {
        let (listener, clients) = MemoryListener::new();
        let (listener, script) = FlakyListener::new(listener);
        server = server.listen(listener);
        all.push((clients, script));
    }
    let _server = server
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    settle().await;
    for (_, script) in &all {
        script.fail_accepts(errors(libc::ENOMEM, 10));
    }
    for (clients, _) in &all {
        let mut client = clients.connect().await.unwrap();
        assert!(echoes(&mut client, "served").await);
    }
    assert_eq!(log.count("accept failed"), 40);
    assert_eq!(log.count("exhausted"), 1);
    assert_eq!(log.count("exhaustion ended"), 1);
}

#[tokio::test(start_paused = true)]
async fn open_connections_go_on_while_others_cannot_be_accepted() {
    let trial = Trial::start(2).await;
    let mut client = trial.clients.connect().await.unwrap();
    assert!(echoes(&mut client, "before").await);
    for errno in [libc::EMFILE, libc::EINVAL, libc::ECONNABORTED] {
        trial.script.fail_reopens(errors(libc::EADDRINUSE, 5));
        trial.script.fail_accepts(errors(errno, 200));
        yield_often().await;
        let begin = Instant::now();
        assert!(echoes(&mut client, "meanwhile").await);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_during_a_back_off_is_obeyed_at_once() {
    let trial = Trial::start(2).await;
    trial.script.fail_accepts(errors(libc::ENOMEM, 1000));
    tokio::time::sleep(Duration::from_secs(10)).await;
    trial.server.pause();
    settle().await;
    let accepts = trial.script.accepts();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(trial.script.accepts(), accepts);
    assert_eq!(trial.server.stats().status, ServerStatus::Paused);
    trial.server.resume();
    yield_often().await;
    assert!(trial.script.accepts() > accepts);
}

#[tokio::test(start_paused = true)]
async fn a_drain_during_a_back_off_does_not_wait_for_it() {
    let trial = Trial::start(2).await;
    trial.script.fail_accepts(errors(libc::ENOMEM, 1000));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begin = Instant::now();
    let report = trial.server.drain(Duration::from_secs(60)).await;
    assert_eq!((begin.elapsed(), report.aborted), (Duration::ZERO, 0));
    assert_eq!(
        (
            trial.log.count("exhausted"),
            trial.log.count("exhaustion ended")
        ),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_listener_is_reopened() {
    for errno in FATAL {
        let trial = Trial::start(1).await;
        let begin = Instant::now();
        trial.script.fail_accepts(errors(errno, 1));
        assert!(trial.serves().await);
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!((trial.script.reopens(), trial.lost()), (1, None));
        let events = trial.log.events();
        let lost = events
            .iter()
            .position(|event| event.starts_with("listener lost"))
            .unwrap();
        assert_eq!(events[lost + 1], "listener reopened");
        assert!(trial.serves().await);
    }
}

#[tokio::test(start_paused = true)]
async fn reopening_is_tried_until_it_succeeds() {
    let trial = Trial::start(1).await;
    trial.script.fail_reopens(errors(libc::EADDRINUSE, 3));
    trial.script.fail_accepts(errors(libc::EINVAL, 1));
    yield_often().await;
    assert_eq!(trial.log.count("listener lost"), 1);
    assert!(
        trial
            .lost()
            .is_some_and(|why| why.contains("Invalid argument"))
    );
    let begin = Instant::now();
    assert!(trial.serves().await);
    assert_eq!(begin.elapsed(), Duration::from_millis(5 + 10 + 20));
    assert_eq!((trial.script.reopens(), trial.lost()), (4, None));
    for delay in ["5ms", "10ms", "20ms"] {
        let failed = trial.log.events().iter().any(|event| {
            event.starts_with("listener reopen failed: Address already in use")
                && event.ends_with(&format!("retry in Some({delay})"))
        });
        assert!(failed, "{delay}");
    }
    assert_eq!(trial.log.count("listener reopened"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_lost_listener() {
    let trial = Trial::start(2).await;
    trial.script.fail_reopens(errors(libc::EADDRINUSE, 1000));
    trial.script.fail_accepts(errors(libc::EINVAL, 2));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begin = Instant::now();
    trial.server.drain(Duration::from_secs(60)).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn acceptors_that_lose_a_listener_together_reopen_it_once() {
    let trial = Trial::start(5).await;
    // Each acceptor loses the listener while none can reopen it.
    trial.script.fail_reopens(errors(libc::EADDRINUSE, 5));
    trial.script.fail_accepts(errors(libc::EINVAL, 5));
    assert!(trial.serves().await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(trial.script.reopens(), 6);
    assert_eq!(trial.log.count("listener lost"), 1);
    assert_eq!(trial.log.count("listener reopened"), 1);
    assert!(trial.serves().await);
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_listener_is_gone_for_good_stops_and_says_why() {
    for acceptors in [1, 4] {
        let trial = Trial::start(acceptors).await;
        let mut open = trial.clients.connect().await.unwrap();
        assert!(echoes(&mut open, "before").await);
        trial.script.never_reopen();
        trial.script.fail_accepts(errors(libc::EBADF, 1));
        settle().await;

        assert_eq!(trial.log.count("listener lost"), 1);
        assert_eq!(trial.log.count("listener reopen failed"), 1);
        assert!(
            trial
                .log
                .events()
                .iter()
                .any(|event| event.ends_with("retry in None"))
        );
        assert!(trial.lost().is_some());
        assert_eq!(trial.server.stats().status, ServerStatus::Draining);
        assert!(trial.clients.connect().await.is_err());

        // Open connections are served to the end.
        assert!(echoes(&mut open, "after").await);
        drop(open);
        let stopped = tokio::time::timeout(LONG, trial.server.wait()).await;
        let error = stopped.unwrap().unwrap_err();
        assert!(matches!(*error, Error::ListenersLost));
        assert_eq!(trial.server.stats().status, ServerStatus::Stopped);
        assert!(trial.lost().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_listeners_lost_for_good_leaves_the_other() {
    let (first, first_clients) = MemoryListener::new();
    let (first, script) = FlakyListener::new(first);
    let (second, second_clients) = MemoryListener::new();
    let log = Log::default();
    let server = Server::new(first)
        .listen(second)
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    script.never_reopen();
    script.fail_accepts(errors(libc::EBADF, 1));
    settle().await;
    let stats = server.stats();
    assert_eq!(stats.status, ServerStatus::Running);
    assert!(stats.listeners[0].lost.is_some() && stats.listeners[1].lost.is_none());
    assert!(echoes(&mut second_clients.connect().await.unwrap(), "served").await);
    // No client is left in the queue of a lost listener.
    assert!(first_clients.connect().await.is_err());
    assert_eq!(log.count("drain started"), 0);
}

#[tokio::test]
async fn a_real_socket_that_is_lost_is_replaced_at_its_address() {
    for acceptors in [1, 4] {
        let mut sockets = None;
        let log = Log::default();
        let server = Server::bind("127.0.0.1:0")
            .options(|options| sockets = Some(keep_sockets(options)))
            .acceptors(acceptors)
            .observe(log.clone())
            .start(handle(echo))
            .await
            .unwrap();
        let addr = server.local_addr().clone();
        let mut open = connect_to(&addr).await;
        assert!(echoes(&mut open, "before").await);

        sockets.unwrap().lock().unwrap()[0]
            .shutdown(Shutdown::Both)
            .unwrap();
        log.wait_for("listener reopened", 1).await;
        for _ in 0..20 {
            assert!(echoes(&mut connect_to(&addr).await, "accepted").await);
        }
        assert!(echoes(&mut open, "after").await);
        let stats = server.stats();
        assert_eq!(
            (stats.status, &stats.listeners[0].lost),
            (ServerStatus::Running, &None)
        );
        assert_eq!(log.count("listener lost"), 1);
        assert_eq!(log.count("listener reopened"), 1);

        drop(open);
        server.drain(LONG).await;
        assert_eq!(log.count("listener stopped"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_listener_that_is_gone_are_closed() {
    let trial = Trial::start(1).await;
    trial.server.set_max_connections(1);
    let open = trial.clients.connect().await.unwrap();
    settle().await;
    let mut waiting = trial.clients.connect().await.unwrap();
    trial.script.never_reopen();
    trial.script.fail_accepts(errors(libc::EBADF, 1));
    drop(open);
    assert_eq!(rest(&mut waiting).await.unwrap(), b"");
    let stopped = tokio::time::timeout(LONG, trial.server.wait()).await;
    assert!(stopped.unwrap().is_err());
}

#[test]
fn every_error_has_its_class() {
    let lists = [
        (&CONNECTION[..], ErrorClass::Connection),
        (&EXHAUSTION[..], ErrorClass::Exhaustion),
        (&FATAL[..], ErrorClass::Fatal),
    ];
    for (list, class) in lists {
        for errno in list {
            assert_eq!(
                ErrorClass::classify(&io::Error::from_raw_os_error(*errno)),
                class
            );
        }
    }
}
