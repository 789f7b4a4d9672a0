//! Events name the place, the connection and the cause, and an observer receives all of them,
//! however it is registered.

use crate::support::{LONG, Moody, echo, echoes, settle};
use reagent::{
    Acceptor, Addr, BoxError, Connection, ConnectionHandle, DrainReport, IoStream, Observer,
    Server, ServerStatus, Shutdown, Upgrade, UpgradeLayer,
    event::{self, Event},
    handle, observer_fn,
    testing::{FlakyListener, MemoryListener},
};
use std::{
    fmt, io, iter,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Records every event with all its fields.
#[derive(Clone, Debug, Default)]
struct Facts(Arc<Mutex<Vec<String>>>);

impl Facts {
    fn add(&self, fact: String) {
        self.0.lock().unwrap().push(fact);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, fact: &str) -> usize {
        self.all().iter().filter(|known| *known == fact).count()
    }
}

fn place(acceptor: &Acceptor) -> String {
    format!("{}/{}", acceptor.local_addr, acceptor.index)
}

impl Observer for Facts {
    fn listener_started(&self, event: &event::Listening<'_>) {
        self.add(format!("listener started: {}", event.addr));
    }

    fn listener_lost(&self, event: &event::ListenerLost<'_>) {
        self.add(format!("listener lost: {}: {}", event.addr, event.error));
    }

    fn listener_reopen_failed(&self, event: &event::ListenerReopenFailed<'_>) {
        let retries = event.retry_in.is_some();
        let fact = format!("{}: {}, retries: {retries}", event.addr, event.error);
        self.add(format!("listener reopen failed: {fact}"));
    }

    fn listener_reopened(&self, event: &event::Listening<'_>) {
        self.add(format!("listener reopened: {}", event.addr));
    }

    fn listener_stopped(&self, event: &event::Listening<'_>) {
        self.add(format!("listener stopped: {}", event.addr));
    }

    fn acceptor_started(&self, acceptor: &Acceptor) {
        self.add(format!("acceptor started: {}", place(acceptor)));
    }

    fn acceptor_failed(&self, event: &event::AcceptorFailed<'_>) {
        assert_ne!(event.retry_in, Duration::ZERO);
        let fact = format!("{}: {}", place(event.acceptor), event.error);
        self.add(format!("acceptor failed: {fact}"));
    }

    fn acceptor_stopped(&self, acceptor: &Acceptor) {
        self.add(format!("acceptor stopped: {}", place(acceptor)));
    }

    fn accept_failed(&self, event: &event::AcceptFailed<'_>) {
        let fact = format!("{}: {}", place(event.acceptor), event.error);
        self.add(format!("accept failed: {fact}: {}", event.class.as_str()));
    }

    fn exhausted(&self, event: &event::Exhausted<'_>) {
        let fact = format!("{}: {}", place(event.acceptor), event.error);
        self.add(format!("exhausted: {fact}"));
    }

    fn exhaustion_ended(&self, event: &event::ExhaustionEnded) {
        assert_ne!(event.lasted, Duration::ZERO);
        self.add(format!("exhaustion ended: {}", event.turned_away));
    }

    fn limit_reached(&self, acceptor: &Acceptor) {
        self.add(format!("limit reached: {}", place(acceptor)));
    }

    fn limit_waited(&self, event: &event::LimitWaited<'_>) {
        let waited = event.waited.as_secs();
        self.add(format!("limit waited: {}: {waited}", place(event.acceptor)));
    }

    fn connection_started(&self, connection: &ConnectionHandle) {
        self.add(format!("connection started: {}", connection.id()));
    }

    fn connection_labelled(&self, event: &event::ConnectionLabelled<'_>) {
        let fact = format!("{}: {}={}", event.connection.id(), event.key, event.value);
        self.add(format!("connection labelled: {fact}"));
    }

    fn connection_spared(&self, event: &event::ConnectionSpared<'_>) {
        let fact = format!(
            "{}: {}: {}",
            event.connection.id(),
            event.layer,
            event.reason
        );
        self.add(format!("connection spared: {fact}"));
    }

    fn connection_upgraded(&self, event: &event::ConnectionUpgraded<'_>) {
        let (id, took) = (event.connection.id(), event.took.as_secs());
        let fact = format!("{id}: {}: {took}", event.upgrade);
        self.add(format!("connection upgraded: {fact}"));
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let fact = format!("{}: {}", event.connection.id(), event.outcome);
        self.add(format!("connection ended: {fact}"));
    }

    fn lame_duck_started(&self, event: &event::LameDuckStarted) {
        self.add(format!("lame duck started: {}", event.lasts.as_secs()));
    }

    fn drain_started(&self, event: &event::DrainStarted) {
        self.add(format!("drain started: {}", event.open));
    }

    fn drain_ended(&self, report: &DrainReport) {
        self.add(format!("drain ended: {}", report.finished));
    }
}

/// Waits for a byte, and adds it as a label.
struct Knock;

impl<Io: IoStream> Upgrade<Io> for Knock {
    type Io = Io;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        let byte = conn.read_u8().await?;
        conn.label("knock", char::from(byte));
        conn.handle().report_spared("knock", "once");
        Ok(conn)
    }

    fn name(&self) -> &'static str {
        "knock"
    }
}

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// Makes each event happen at least once on the second of two listeners, and returns its address.
async fn everything_happens(observe: impl FnOnce(Server) -> Server) -> Addr {
    let (first, _first_clients) = MemoryListener::new();
    let (second, clients) = MemoryListener::new();
    let (second, script) = FlakyListener::new(second);
    let (service, failures) = Moody::new(handle(echo));
    let server = observe(Server::new(first).listen(second))
        .max_connections(2)
        .layer(UpgradeLayer::new(Knock).timeout(LONG))
        .start(service)
        .await
        .unwrap();
    let addr = server.local_addrs().nth(1).unwrap().clone();
    settle().await;

    // The errors occur when the first client arrives.
    script.fail_accepts([libc::ECONNABORTED, libc::ENOMEM, libc::EINVAL].map(error));
    script.fail_reopens([error(libc::EADDRINUSE)]);
    failures.store(1, SeqCst);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = clients.connect().await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        client.write_all(b"k").await.unwrap();
        assert!(echoes(&mut client, "hello").await);
        open.push(client);
    }
    let waiting = clients.connect().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(open.remove(0));
    settle().await;
    drop(waiting);
    settle().await;
    let mut clients = open.into_iter();
    let shutdown = Shutdown::new(LONG).lame_duck(Duration::from_secs(3));
    tokio::join!(server.shutdown(shutdown), async {
        server.status_changed(ServerStatus::LameDuck).await;
        settle().await;
        drop(clients.next());
    });
    addr
}

#[tokio::test(start_paused = true)]
async fn events_say_where_they_happened_and_why() {
    let facts = Facts::default();
    let addr = everything_happens(|server| server.observe(facts.clone())).await;
    for (count, fact) in [
        (1, "listener started: ADDR".to_owned()),
        (1, format!("listener lost: ADDR: {}", error(libc::EINVAL))),
        (
            1,
            format!(
                "listener reopen failed: ADDR: {}, retries: true",
                error(libc::EADDRINUSE)
            ),
        ),
        (1, "listener reopened: ADDR".to_owned()),
        (1, "listener stopped: ADDR".to_owned()),
        (2, "acceptor started: ADDR/0".to_owned()),
        (1, "acceptor failed: ADDR/0: in a bad mood".to_owned()),
        (2, "acceptor stopped: ADDR/0".to_owned()),
        (
            1,
            format!(
                "accept failed: ADDR/0: {}: connection",
                error(libc::ECONNABORTED)
            ),
        ),
        (
            1,
            format!("accept failed: ADDR/0: {}: exhaustion", error(libc::ENOMEM)),
        ),
        (
            1,
            format!("accept failed: ADDR/0: {}: fatal", error(libc::EINVAL)),
        ),
        (1, format!("exhausted: ADDR/0: {}", error(libc::ENOMEM))),
        (1, "exhaustion ended: 0".to_owned()),
        (1, "limit reached: ADDR/0".to_owned()),
        (1, "limit waited: ADDR/0: 3".to_owned()),
        (1, "connection started: 1".to_owned()),
        (1, "connection labelled: 1: knock=k".to_owned()),
        (1, "connection spared: 1: knock: once".to_owned()),
        (1, "connection upgraded: 2: knock: 5".to_owned()),
        (1, "connection ended: 1: completed".to_owned()),
        (1, "lame duck started: 3".to_owned()),
        (1, "drain started: 1".to_owned()),
        (1, "drain ended: 1".to_owned()),
    ] {
        let fact = fact.replace("ADDR", &addr.to_string());
        assert_eq!(facts.count(&fact), count, "{fact}: {:#?}", facts.all());
    }
}

#[tokio::test(start_paused = true)]
async fn an_arc_and_a_box_of_an_observer_receive_every_event() {
    let [plain, shared, boxed] = iter::repeat_with(Facts::default)
        .take(3)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let dynamic: Box<dyn Observer> = Box::new(boxed.clone());
    everything_happens(|server| {
        server
            .observe(plain.clone())
            .observe(Arc::new(shared.clone()))
            .observe(dynamic)
    })
    .await;
    assert_eq!(shared.all(), plain.all());
    assert_eq!(boxed.all(), plain.all());
}

#[tokio::test(start_paused = true)]
async fn a_closure_receives_every_event_under_its_name() {
    let (plain, facts) = (Facts::default(), Facts::default());
    let by_closure = facts.clone();
    let closure = observer_fn(move |event| match event {
        Event::ListenerStarted(event) => by_closure.listener_started(event),
        Event::ListenerLost(event) => by_closure.listener_lost(event),
        Event::ListenerReopenFailed(event) => by_closure.listener_reopen_failed(event),
        Event::ListenerReopened(event) => by_closure.listener_reopened(event),
        Event::ListenerStopped(event) => by_closure.listener_stopped(event),
        Event::AcceptorStarted(acceptor) => by_closure.acceptor_started(acceptor),
        Event::AcceptorFailed(event) => by_closure.acceptor_failed(event),
        Event::AcceptorStopped(acceptor) => by_closure.acceptor_stopped(acceptor),
        Event::AcceptFailed(event) => by_closure.accept_failed(event),
        Event::Exhausted(event) => by_closure.exhausted(event),
        Event::ExhaustionEnded(event) => by_closure.exhaustion_ended(event),
        Event::LimitReached(acceptor) => by_closure.limit_reached(acceptor),
        Event::LimitWaited(event) => by_closure.limit_waited(event),
        Event::ConnectionStarted(connection) => by_closure.connection_started(connection),
        Event::ConnectionLabelled(event) => by_closure.connection_labelled(event),
        Event::ConnectionSpared(event) => by_closure.connection_spared(event),
        Event::ConnectionUpgraded(event) => by_closure.connection_upgraded(event),
        Event::ConnectionEnded(event) => by_closure.connection_ended(event),
        Event::LameDuckStarted(event) => by_closure.lame_duck_started(event),
        Event::DrainStarted(event) => by_closure.drain_started(event),
        Event::DrainEnded(report) => by_closure.drain_ended(report),
        other => panic!("an event without a name: {other:?}"),
    });
    everything_happens(|server| server.observe(plain.clone()).observe(closure)).await;
    assert_eq!(facts.all(), plain.all());
    assert!(!facts.all().is_empty());
}

/// Records the `Debug` output of every event.
#[derive(Clone, Debug, Default)]
struct Shown(Facts);

impl Shown {
    fn show(&self, event: impl fmt::Debug) {
        self.0.add(format!("{event:?}"));
    }
}

impl Observer for Shown {
    fn exhausted(&self, event: &event::Exhausted<'_>) {
        self.show(event);
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        self.show(event);
    }

    fn drain_started(&self, event: &event::DrainStarted) {
        self.show(event);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_can_be_shown() {
    let shown = Shown::default();
    let addr = everything_happens(|server| server.observe(shown.clone())).await;
    let all = shown.0.all();
    assert!(all[0].starts_with("Exhausted { acceptor: Acceptor { index: 0, "));
    assert!(all[0].contains(&addr.to_string()), "{}", all[0]);
    assert!(all[1].contains("outcome: Completed"), "{}", all[1]);
    assert!(all.contains(&"DrainStarted { open: 1 }".to_owned()));
}
