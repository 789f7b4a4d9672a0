//! `BandwidthLayer`: shared rates, and their fair distribution.

use crate::support::{Ends, Served, echo, echoes};
use reagent::{
    Addr, BoxError, Connection, IoStream, Server, Upgrade, UpgradeLayer, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Quota, Rate, Rates};
use std::{future::pending, io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

macro_rules! start {
    ($limits:expr, $handler:expr) => {{
        let (listener, clients) = MemoryListener::new();
        let ends = Ends::default();
        let server = Server::new(listener)
            .observe(ends.clone())
            .layer(BandwidthLayer::new($limits))
            .start(handle($handler))
            .await
            .unwrap();
        (Served { server, ends }, clients)
    }};
}

fn limits() -> BandwidthLimits {
    BandwidthLimits::new()
}

async fn client(clients: &Clients, ip: &str) -> DuplexStream {
    clients
        .connect_from(SocketAddr::new(ip.parse().unwrap(), 4000))
        .await
        .unwrap()
}

/// Sends endlessly. The first byte of the client is the size of each write, in thousands of bytes.
async fn flood(mut conn: Connection) -> io::Result<()> {
    let bytes = vec![0; usize::from(conn.read_u8().await?) * 1000];
    loop {
        conn.write_all(&bytes).await?;
    }
}

/// Returns a client of `flood` that has just started to read.
async fn flooded(clients: &Clients, ip: &str, thousands: u8) -> DuplexStream {
    let mut client = client(clients, ip).await;
    client.write_all(&[thousands]).await.unwrap();
    client
}

/// Returns the number of bytes that each client receives within this many seconds.
async fn received(clients: Vec<DuplexStream>, seconds: u32) -> Vec<usize> {
    let end = Instant::now() + seconds * SECOND;
    let mut tasks = JoinSet::new();
    for (index, mut client) in clients.into_iter().enumerate() {
        tasks.spawn(async move {
            let (mut buf, mut count) = (vec![0; 65_536], 0);
            while let Ok(read) = tokio::time::timeout_at(end, client.read(&mut buf)).await {
                count += read.unwrap();
            }
            (index, count)
        });
    }
    let mut counts = tasks.join_all().await;
    counts.sort_unstable();
    counts.into_iter().map(|(_, count)| count).collect()
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_client_share_its_rate_and_another_client_has_its_own() {
    let limits = limits().per_client(Rates::write(Rate::new(10_000)));
    let (_server, clients) = start!(limits.clone(), flood);
    let mut all = Vec::new();
    for ip in ["192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"] {
        all.push(flooded(&clients, ip, 5).await);
    }
    let counts = received(all, 30).await;
    let one: usize = counts[..3].iter().sum();
    assert!((300_000..=301_000).contains(&one), "{counts:?}");
    assert!((300_000..=301_000).contains(&counts[3]), "{counts:?}");
    assert!(
        counts[..3].iter().all(|&count| count > 98_000),
        "{counts:?}"
    );
    assert_eq!(limits.clients(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_network_is_one_client_and_a_local_client_has_no_limit() {
    let narrow = limits().per_client(Rate::new(1000));
    let (_server, clients) = start!(narrow.clone(), flood);
    let all = vec![
        flooded(&clients, "2001:db8:1:2::1", 1).await,
        flooded(&clients, "2001:db8:1:2:ffff::1", 1).await,
    ];
    assert_eq!(received(all, 10).await.iter().sum::<usize>(), 10_100);

    let (_server, clients) = start!(narrow.prefixes(32, 128), flood);
    let all = vec![
        flooded(&clients, "2001:db8:1:3::1", 1).await,
        flooded(&clients, "2001:db8:1:3:ffff::1", 1).await,
    ];
    assert_eq!(received(all, 10).await, [10_100, 10_100]);

    let mut local = clients.connect_from(Addr::Unix(None)).await.unwrap();
    local.write_all(&[50]).await.unwrap();
    let began = Instant::now();
    local.read_exact(&mut vec![0; 1_000_000]).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Makes all clients the same one.
struct Named;

impl<Io: IoStream> Upgrade<Io> for Named {
    type Io = Io;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        conn.set_peer_addr(Addr::Tcp("192.0.2.9:4000".parse()?));
        Ok(conn)
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_is_the_one_that_a_proxy_named() {
    let (listener, clients) = MemoryListener::new();
    let _server = Server::new(listener)
        .layer(UpgradeLayer::new(Named))
        .layer(BandwidthLayer::new(limits().per_client(Rate::new(1000))))
        .start(handle(flood))
        .await
        .unwrap();
    let all = vec![
        flooded(&clients, "192.0.2.1", 1).await,
        flooded(&clients, "192.0.2.2", 1).await,
    ];
    assert_eq!(received(all, 10).await.iter().sum::<usize>(), 10_100);
}

#[tokio::test(start_paused = true)]
async fn a_client_gains_nothing_by_reconnecting() {
    let limits = limits().per_client(Rate::new(100).burst(1000));
    let (server, clients) = start!(limits, flood);
    let mut count = 0;
    let began = Instant::now();
    for id in 1..=50 {
        let mut each = flooded(&clients, "192.0.2.1", 1).await;
        let mut buf = [0; 1000];
        while let Ok(read) = timeout(SECOND / 10, each.read(&mut buf)).await {
            count += read.unwrap();
        }
        drop(each);
        server.ends.of(id).await;
    }
    // The first byte of a connection is read and counts too.
    let allowed = 1000 + began.elapsed().as_millis() as usize / 10;
    assert!(
        count <= allowed && count >= allowed - 100,
        "{count} of {allowed}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_millions_of_clients_only_a_limited_number_is_remembered() {
    let limits = limits().per_client(Rate::new(10)).capacity(100);
    let (server, clients) = start!(limits.clone(), echo);
    let mut open = client(&clients, "192.0.2.1").await;
    assert!(echoes(&mut open, "x").await);
    let mut id = 1;
    for round in 0..10 {
        for n in 0..99 {
            let mut each = client(&clients, &format!("10.0.{round}.{n}")).await;
            assert!(echoes(&mut each, "x").await);
            assert!(limits.clients() <= 100);
            drop(each);
            id += 1;
            server.ends.of(id).await;
        }
        assert_eq!(limits.clients(), 100);
        // Clients whose allowance is full again are evicted, unless they are connected.
        sleep(10 * SECOND).await;
    }
    let mut more = Vec::new();
    for n in 0..40 {
        more.push(client(&clients, &format!("192.0.2.{}", n + 2)).await);
        assert!(echoes(&mut more[n], "x").await);
    }
    assert_eq!(limits.clients(), 41);
}

#[tokio::test(start_paused = true)]
async fn clients_that_find_no_place_share_a_rate_and_those_that_have_one_keep_theirs() {
    let narrow = limits().per_client(Rates::write(Rate::new(1000)));
    let (_server, clients) = start!(narrow.capacity(2), flood);
    let mut all = Vec::new();
    for ip in 1..=6 {
        all.push(flooded(&clients, &format!("192.0.2.{ip}"), 1).await);
    }
    let received = received(all, 10).await;
    assert_eq!(received[..2], [10_100, 10_100]);
    assert_eq!(received[2..].iter().sum::<usize>(), 10_100);
}

#[tokio::test(start_paused = true)]
async fn a_greedy_connection_has_one_turn_like_all_others() {
    let limits = limits().total(Rates::write(Rate::new(100_000)));
    let (_server, clients) = start!(limits, flood);
    let mut all = vec![flooded(&clients, "192.0.2.1", 250).await];
    sleep(10 * SECOND).await;
    for _ in 0..9 {
        all.push(flooded(&clients, "192.0.2.2", 1).await);
    }
    let counts = received(all, 60).await;
    let sum: usize = counts.iter().sum();
    // Bytes in the pipe of the first client from before do not count.
    assert!((6_000_000..6_100_000).contains(&sum), "{counts:?}");
    // Small writes take small turns.
    assert!(
        counts[1..].iter().all(|&count| count > 200_000),
        "{counts:?}"
    );

    let mut all = Vec::new();
    for thousands in [250, 20, 20, 20] {
        all.push(flooded(&clients, "192.0.2.1", thousands).await);
    }
    let counts = received(all, 60).await;
    assert!(
        counts
            .iter()
            .all(|count| (1_450_000..1_550_000).contains(count)),
        "{counts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_all_their_turns_take() {
    let limits = limits().total(Rates::write(Rate::new(50_000)));
    let (_server, clients) = start!(limits, flood);
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(flooded(&clients, "192.0.2.1", 250).await);
    }
    let (mut late, began) = (flooded(&clients, "192.0.2.2", 1).await, Instant::now());
    let came = async {
        late.read_u8().await.unwrap();
        began.elapsed()
    };
    let (counts, came) = tokio::join!(received(all, 30), came);
    // Twenty turns of 5,000 bytes, and its own of 1,000.
    assert_eq!(came, Duration::from_millis(2020), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_with_nothing_to_read_do_not_queue() {
    let limits = limits().total(Rates::read(Rate::new(10_000)));
    let (server, clients) = start!(limits, |mut conn: Connection| async move {
        let mut buf = [0; 4096];
        loop {
            // It retries again and again.
            if let Ok(Ok(0)) = timeout(SECOND / 20, conn.read(&mut buf)).await {
                return io::Result::Ok(());
            }
        }
    });
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(client(&clients, "192.0.2.1").await);
    }
    let mut active = client(&clients, "192.0.2.2").await;
    active.write_all(&[0; 50_000]).await.unwrap();
    active.shutdown().await.unwrap();
    let began = Instant::now();
    server.ends.of(201).await;
    let took = began.elapsed().as_millis();
    assert!((4900..=5000).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn bytes_granted_by_a_wide_limit_but_not_by_a_narrow_one_are_given_back() {
    let limits = limits()
        .per_connection(Rate::new(0).burst(10_000))
        .per_client(Rate::new(0).burst(10_000))
        .total(Rate::new(1000).burst(1000));
    let (_server, clients) = start!(limits, |mut conn: Connection| async move {
        conn.write_all(&[0; 10_001]).await
    });
    let mut client = client(&clients, "192.0.2.1").await;
    let began = Instant::now();
    let all = async { client.read_exact(&mut [0; 10_000]).await.unwrap() };
    timeout(60 * SECOND, all).await.unwrap();
    assert_eq!(began.elapsed(), 9 * SECOND);
    // And only once.
    assert!(timeout(3600 * SECOND, client.read_u8()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn servers_can_share_what_all_may_have() {
    let limits = limits().total(Rates::write(Rate::new(10_000)));
    let (_one, clients_of_one) = start!(limits.clone(), flood);
    let (_two, clients_of_two) = start!(limits, flood);
    let all = vec![
        flooded(&clients_of_one, "192.0.2.1", 5).await,
        flooded(&clients_of_two, "192.0.2.2", 5).await,
    ];
    let counts = received(all, 10).await;
    assert_eq!(counts.iter().sum::<usize>(), 101_000, "{counts:?}");
    assert!(counts.iter().all(|&count| count > 48_000), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_turn_is_given_back() {
    let limits = limits().total(Rates::write(Rate::new(1000).burst(1000)));
    let (server, clients) = start!(limits, |mut conn: Connection| async move {
        conn.write_all(&[0; 1000]).await?;
        conn.read_u8().await?;
        // The connection waits briefly, in line behind another.
        let _ = timeout(SECOND / 1000, conn.write_all(&[0; 1000])).await;
        io::Result::Ok(())
    });
    let mut clients_open = Vec::new();
    for _ in 0..5 {
        let mut each = client(&clients, "192.0.2.1").await;
        each.read_exact(&mut [0; 1000]).await.unwrap();
        clients_open.push(each);
    }
    // The rate is used up now. Five clients ask for more and leave.
    for each in &mut clients_open {
        each.write_all(b"x").await.unwrap();
    }
    for id in 1..=5 {
        server.ends.of(id).await;
    }
    let began = Instant::now();
    let mut sixth = client(&clients, "192.0.2.2").await;
    sixth.read_exact(&mut [0; 1000]).await.unwrap();
    assert!(began.elapsed() <= SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_takes_its_turn_delays_nobody() {
    let limits = limits().total(Rates::write(Rate::new(1000)));
    let (_server, clients) = start!(limits, |mut conn: Connection| async move {
        if conn.read_u8().await? == 1 {
            let _ = timeout(SECOND / 100, conn.write_all(&[0; 1000])).await;
            pending::<()>().await;
        }
        conn.write_all(&[0; 1000]).await
    });
    let mut gone = client(&clients, "192.0.2.1").await;
    gone.write_all(&[1]).await.unwrap();
    sleep(SECOND / 50).await;
    let began = Instant::now();
    let mut other = client(&clients, "192.0.2.2").await;
    other.write_all(&[2]).await.unwrap();
    other.read_exact(&mut [0; 1000]).await.unwrap();
    // Its own bytes, and one abandoned turn.
    assert!(
        began.elapsed() <= SECOND + SECOND / 10,
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_narrowest_limit_is_the_one_that_is_felt() {
    let total = Rates::write(Rate::new(4000));
    let client = Rates::write(Rate::new(3000));
    let limits = limits()
        .per_connection(Rates::write(Rate::new(2000)))
        .per_client(client)
        .total(total)
        .quota(Quota::new().write(1_000_000));
    let (server, clients) = start!(limits, flood);
    // Two connections of one client get 3,000, and the other client gets the rest.
    let mut all = Vec::new();
    for ip in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        all.push(flooded(&clients, ip, 5).await);
    }
    let counts = received(all, 100).await;
    let sum: usize = counts.iter().sum();
    assert!((396_000..=400_400).contains(&sum), "{counts:?}");
    assert!(counts[0] + counts[1] <= 300_300, "{counts:?}");
    assert!(
        counts
            .iter()
            .all(|&count| (95_000..=200_200).contains(&count)),
        "{counts:?}"
    );
    drop(clients);
    for id in 1..=3 {
        let outcome = server.ends.of(id).await;
        assert_eq!(outcome.to_string(), "disconnected: reset");
    }
}
