//! Two thousand slow-loris clients, who hold a connection with as little traffic as possible, are
//! closed at their timeout and never exceed the memory limit.

use super::{Parts, client, header, kinds::all, kinds::bottom, memory, proxy};
use crate::support::{LONG, echo, echoes};
use reagent::{IoStream, Observer, Server, ServerHandle, event, handle, testing::Clients};
use reagent_layers::timeout::TimeoutsLayer;
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

const FLEET: usize = 2000;
const SECOND: Duration = Duration::from_secs(1);

/// The pause between two bytes of a slow-loris client.
const PAUSE: Duration = Duration::from_secs(3);

/// The number of connections by outcome and duration in seconds.
#[derive(Clone, Debug, Default)]
struct Ends(Arc<Mutex<BTreeMap<(String, u64), usize>>>);

impl Observer for Ends {
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let lasted = event.connection.accepted_at().elapsed().as_secs();
        let end = (event.outcome.to_string(), lasted);
        *self.0.lock().unwrap().entry(end).or_default() += 1;
    }
}

impl Ends {
    fn are(&self, expected: &[(&str, u64, usize)]) {
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(outcome, seconds, count)| ((format!("timed out: {outcome}"), *seconds), *count))
            .collect();
        assert_eq!(*self.0.lock().unwrap(), expected);
    }
}

/// Limits of 5 seconds for the header, 10 for the handshake and 15 for the first byte.
fn parts() -> Parts {
    let mut parts = Parts::new();
    parts.tls = parts.tls.max_handshakes(None);
    // Other timeouts are shorter.
    parts.sniff = parts.sniff.timeout(100 * SECOND);
    parts.timeouts = TimeoutsLayer::new()
        .first_byte(15 * SECOND)
        .write(12 * SECOND)
        .min_rate(10, 20 * SECOND);
    parts
}

async fn start(parts: &Parts, server: Server, ends: &Ends) -> ServerHandle {
    let server = server.observe(ends.clone());
    let service = parts.stack(&all(), bottom(handle(echo)));
    server.start(service).await.unwrap()
}

/// Sends single bytes that start a message and never complete it.
async fn trickle(io: impl IoStream, bytes: &[u8]) {
    let (mut reader, mut writer) = split(io);
    let trickle = async {
        for byte in bytes.iter().cycle() {
            if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
                break;
            }
            sleep(PAUSE).await;
        }
        std::future::pending::<()>().await;
    };
    let mut rest = Vec::new();
    tokio::select! {
        _ = reader.read_to_end(&mut rest) => {}
        () = trickle => {}
    }
}

/// Never reads its input.
async fn glut(mut io: impl IoStream) {
    while io.write_all(&[0; 16 * 1024]).await.is_ok() {}
}

/// The slowest behaviour at every stage: sending nothing at all, or a byte now and then.
async fn loris(parts: &Parts, clients: &Clients, way: usize) {
    let order = all();
    let connect = async || clients.connect_from(proxy()).await.unwrap();
    let before_tls = async |said: &[u8]| {
        let mut io = connect().await;
        let said = [&header(client()), said].concat();
        io.write_all(&said).await.unwrap();
        io
    };
    let after_tls = async || parts.connect(clients, &order).await.unwrap();
    match way {
        0 => trickle(connect().await, b"").await,
        1 => trickle(connect().await, b"PROXY TCP4 ").await,
        2 => trickle(before_tls(b"").await, b"").await,
        // The start of a long first message.
        3 => trickle(before_tls(b"").await, &[22, 3, 1, 16, 0, 1, 0, 15]).await,
        // A complete first message, and no reply to the server's.
        4 => trickle(before_tls(&parts.hello()).await, b"").await,
        5 => trickle(after_tls().await, b"").await,
        6 => trickle(after_tls().await, b"x").await,
        _ => glut(after_tls().await).await,
    }
}

#[tokio::test(start_paused = true)]
async fn each_is_gone_at_the_limit_of_what_it_does_not_do() {
    const EACH: usize = FLEET / 8;
    let (parts, ends) = (parts(), Ends::default());
    let (server, clients) = memory();
    let server = start(&parts, server, &ends).await;
    let began = Instant::now();
    let mut fleet = JoinSet::new();
    for number in 0..FLEET {
        let (parts, clients) = (parts.clone(), clients.clone());
        fleet.spawn(async move { loris(&parts, &clients, number / EACH).await });
    }
    sleep(SECOND).await;
    assert_eq!(server.connection_count(), FLEET);
    assert_eq!(parts.in_flight.taken(), FLEET);
    timeout(LONG * 10, fleet.join_all()).await.unwrap();
    until_none(&server).await;
    assert_eq!(began.elapsed().as_secs(), 20);
    ends.are(&[
        ("proxy protocol", 5, 2 * EACH),
        ("tls handshake", 10, 3 * EACH),
        ("write", 12, EACH),
        ("first byte", 15, EACH),
        ("rate", 20, EACH),
    ]);
    assert_eq!(server.stats().timed_out, FLEET as u64);
    assert_eq!(
        (parts.in_flight.taken(), parts.per_client.clients()),
        (0, 0)
    );
    assert!(serves(&parts, &clients).await);
}

async fn until_none(server: &ServerHandle) {
    while server.connection_count() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Returns whether an honest client is served at once.
async fn serves(parts: &Parts, clients: &Clients) -> bool {
    let began = Instant::now();
    let mut honest = parts.connect(clients, &all()).await.unwrap();
    echoes(&mut honest, "hello").await && began.elapsed() == Duration::ZERO
}

#[tokio::test(start_paused = true)]
async fn a_limit_for_each_client_leaves_the_fleet_its_places_and_no_more() {
    const CLIENTS: usize = 20;
    const PLACES: usize = 10;
    let (parts, ends) = (parts(), Ends::default());
    parts.per_client.set_max(PLACES);
    let (server, clients) = memory();
    let server = server.max_connections(FLEET / 2);
    let server = start(&parts, server, &ends).await;
    let mut fleet = Vec::new();
    for number in 0..FLEET {
        let ip = Ipv4Addr::new(203, 0, 113, (number % CLIENTS) as u8);
        let mut io = clients.connect_from(proxy()).await.unwrap();
        let _ = io.write_all(&header((ip, 4000).into())).await;
        fleet.push(io);
    }
    assert!(serves(&parts, &clients).await);
    sleep(SECOND).await;
    assert_eq!(server.connection_count(), CLIENTS * PLACES);
    assert_eq!(parts.per_client.clients(), CLIENTS);
    assert_eq!(server.stats().rejected as usize, FLEET - CLIENTS * PLACES);
    assert!(serves(&parts, &clients).await);
    sleep(10 * SECOND).await;
    assert_eq!(server.connection_count(), 0);
    assert_eq!(server.stats().timed_out as usize, CLIENTS * PLACES);
    assert_eq!(parts.per_client.clients(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_the_fleet_has_every_place_it_has_them_for_one_time_limit() {
    const PLACES: usize = FLEET / 4;
    let (parts, ends) = (parts(), Ends::default());
    let (server, clients) = memory();
    let server = server.max_connections(PLACES);
    let server = start(&parts, server, &ends).await;
    let began = Instant::now();
    let mut fleet = JoinSet::new();
    for _ in 0..FLEET {
        let (parts, clients) = (parts.clone(), clients.clone());
        fleet.spawn(async move { loris(&parts, &clients, 1).await });
    }
    sleep(SECOND).await;
    assert_eq!(server.connection_count(), PLACES);
    // A new client waits at most four times five seconds, and then is served.
    let mut honest = parts.connect(&clients, &all()).await.unwrap();
    assert!(echoes(&mut honest, "hello").await);
    assert!(began.elapsed() <= 20 * SECOND, "{:?}", began.elapsed());
    drop(honest);
    fleet.join_all().await;
    until_none(&server).await;
    assert_eq!(began.elapsed().as_secs(), 20);
    assert_eq!(server.stats().timed_out as usize, FLEET);
}
