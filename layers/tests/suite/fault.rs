//! `FaultLayer`: each fault has the documented effect, on the selected connections, in every run.

use crate::support::{Ends, LONG, Served, echo, echoes};
use reagent::{Connection, Outcome, Server, handle, testing::MemoryListener};
use reagent_layers::fault::{Fault, FaultLayer};
use std::{
    io::{self, IoSlice},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

macro_rules! start {
    ($faults:expr, $handler:expr) => {{
        let (listener, clients) = MemoryListener::new();
        let ends = Ends::default();
        let server = Server::new(listener)
            .observe(ends.clone())
            .layer($faults)
            .start(handle($handler))
            .await
            .unwrap();
        (Served { server, ends }, clients)
    }};
}

fn always(fault: Fault) -> FaultLayer {
    FaultLayer::new(1).with(1.0, fault)
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Reads to the end. Returns the size of each piece, and the milliseconds until it arrived.
async fn pieces(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<(u128, usize)>> {
    let (began, mut seen, mut got) = (Instant::now(), Vec::new(), Vec::new());
    let mut buf = vec![0; 256 * 1024];
    while let n @ 1.. = stream.read(&mut buf).await? {
        seen.push((began.elapsed().as_millis(), n));
        got.extend_from_slice(&buf[..n]);
    }
    assert!(got == text(got.len()), "as they were sent");
    Ok(seen)
}

fn sizes(pieces: &[(u128, usize)]) -> Vec<usize> {
    pieces.iter().map(|(_, n)| *n).collect()
}

#[tokio::test(start_paused = true)]
async fn bytes_of_the_client_arrive_later_and_delay_nothing() {
    let (server, clients) = start!(
        always(Fault::latency(50 * MILLI, Duration::ZERO)),
        |mut conn: Connection| async move {
            // Latency does not limit bandwidth, and the end is delayed like the rest.
            let began = Instant::now();
            let seen = pieces(&mut conn).await?;
            assert_eq!(sizes(&seen).iter().sum::<usize>(), 50_001);
            assert_eq!((seen[0].0, seen[seen.len() - 1].0), (50, 80));
            assert_eq!(began.elapsed(), 90 * MILLI);
            io::Result::Ok(())
        }
    );
    let mut client = clients.connect().await.unwrap();
    client.write_all(&text(50_000)).await.unwrap();
    sleep(30 * MILLI).await;
    client.write_all(&text(50_001)[50_000..]).await.unwrap();
    sleep(10 * MILLI).await;
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_round_trip_is_longer_by_the_latency_and_by_jitter() {
    let (_server, clients) = start!(always(Fault::latency(50 * MILLI, 100 * MILLI)), echo);
    let mut client = clients.connect().await.unwrap();
    let mut trips = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        assert!(echoes(&mut client, "hello").await);
        trips.push(began.elapsed().as_millis());
    }
    assert!(
        trips.iter().all(|trip| (50..=151).contains(trip)),
        "{trips:?}"
    );
    assert!(trips.iter().any(|trip| *trip < 70) && trips.iter().any(|trip| *trip > 130));
    // Bytes sent in separate writes arrive in order.
    for n in 0..200_u8 {
        client.write_all(&[n]).await.unwrap();
        sleep(MILLI).await;
    }
    let mut got = [0; 200];
    client.read_exact(&mut got).await.unwrap();
    assert!(got.iter().copied().eq(0..200));
}

#[tokio::test(start_paused = true)]
async fn writes_can_be_late_too() {
    let latency = Fault::latency(50 * MILLI, Duration::ZERO).writes();
    let (_server, clients) = start!(always(latency), |mut conn: Connection| async move {
        conn.write_all(&text(3)).await?;
        conn.write_all(&text(5)[3..]).await
    });
    let mut client = clients.connect().await.unwrap();
    assert_eq!(pieces(&mut client).await.unwrap(), [(50, 3), (100, 2)]);
}

#[tokio::test(start_paused = true)]
async fn under_way_is_no_more_than_a_line_holds() {
    let latency = Fault::latency(1000 * SECOND, Duration::ZERO);
    let (_server, clients) = start!(always(latency), echo);
    let mut client = clients.connect().await.unwrap();
    let mut sent = 0;
    while let Ok(written) = timeout(SECOND, client.write(&[0; 1000])).await {
        sent += written.unwrap();
        assert!(sent < 1_000_000, "it holds without end");
    }
    // The capacities of the layer and of the pipe.
    assert!((128 * 1024..136 * 1024).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_what_it_says_each_way() {
    let (_server, clients) = start!(always(Fault::bandwidth(1000)), echo);
    let mut client = clients.connect().await.unwrap();
    client.write_all(&text(1000)).await.unwrap();
    client.shutdown().await.unwrap();
    let expected: Vec<_> = (0..10).map(|n| (n * 100, 100)).collect();
    assert_eq!(pieces(&mut client).await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn slices_are_cut_in_the_same_places_whatever_is_read_at_once() {
    let faults = always(Fault::slices(2..=9).reads());
    let mut cuts = Vec::new();
    for at_once in [1, 3, 1000] {
        let (done, mut lengths) = tokio::sync::mpsc::unbounded_channel();
        let (_server, clients) = start!(faults.clone(), move |mut conn: Connection| {
            let done = done.clone();
            async move {
                let (mut buf, mut ends, mut sum) = (vec![0; at_once], Vec::new(), 0);
                while let n @ 1.. = conn.read(&mut buf).await? {
                    sum += n;
                    ends.push(sum);
                }
                done.send(ends).unwrap();
                io::Result::Ok(())
            }
        });
        let mut client = clients.connect().await.unwrap();
        client.write_all(&text(500)).await.unwrap();
        drop(client);
        cuts.push(lengths.recv().await.unwrap());
    }
    // A larger read returns one piece, and smaller reads have the same boundaries.
    let lengths: Vec<_> = cuts[2].windows(2).map(|ends| ends[1] - ends[0]).collect();
    assert!(
        lengths[..lengths.len() - 1]
            .iter()
            .all(|n| (2..=9).contains(n)),
        "{lengths:?}"
    );
    assert!((2..=9).all(|n| lengths.contains(&n)), "{lengths:?}");
    for narrow in &cuts[..2] {
        assert!(cuts[2].iter().all(|end| narrow.contains(end)));
    }
}

#[tokio::test(start_paused = true)]
async fn writes_are_short_too_and_vectored_ones_as_well() {
    let (server, clients) = start!(
        always(Fault::slices(4..=4).writes()),
        |mut conn: Connection| async move {
            assert!(conn.is_write_vectored());
            assert_eq!(conn.write(&text(3)).await?, 3);
            let text = text(20);
            let bufs = [&text[3..5], &text[5..6], &[], &text[6..]].map(IoSlice::new);
            assert_eq!(conn.write_vectored(&bufs).await?, 1);
            assert_eq!(conn.write_vectored(&[IoSlice::new(&text[4..])]).await?, 4);
            assert_eq!(conn.write(&[]).await?, 0);
            conn.write_all(&text[8..]).await?;
            conn.flush().await
        }
    );
    let mut client = clients.connect().await.unwrap();
    let seen = pieces(&mut client).await.unwrap();
    assert_eq!(sizes(&seen).iter().sum::<usize>(), 20);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_takes_everything_and_gives_nothing() {
    let (server, clients) = start!(
        always(Fault::black_hole_after(10)),
        |mut conn: Connection| async move {
            conn.read_exact(&mut [0; 6]).await?;
            conn.write_all(b"hello").await?;
            assert!(timeout(1000 * SECOND, conn.read(&mut [0])).await.is_err());
            // Nothing is noticed while a socket buffer would still have room.
            conn.write_all(&[0; 60_000]).await?;
            conn.flush().await?;
            assert!(
                timeout(1000 * SECOND, conn.write_all(&[0; 10_000]))
                    .await
                    .is_err()
            );
            conn.shutdown().await?;
            sleep(1000 * SECOND).await;
            io::Result::Ok(())
        }
    );
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"I am here").await.unwrap();
    let began = Instant::now();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!((answer.as_str(), began.elapsed()), ("hell", 3000 * SECOND));
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_can_be_for_one_way() {
    let (_server, clients) = start!(always(Fault::black_hole_after(3).reads()), echo);
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut answer = [0; 3];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hel");
    assert!(
        timeout(1000 * SECOND, client.read(&mut answer))
            .await
            .is_err()
    );

    // The other direction does not count.
    let (_server, clients) = start!(
        always(Fault::black_hole_after(3).writes()),
        |mut conn: Connection| async move {
            conn.read_exact(&mut [0; 1000]).await?;
            conn.write_all(b"hello").await?;
            conn.read_u8().await.map(drop)
        }
    );
    let mut client = clients.connect().await.unwrap();
    client.write_all(&[0; 1001]).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "hel");
}

#[tokio::test(start_paused = true)]
async fn before_a_reset_goes_what_may_and_not_a_byte_more() {
    for (fault, expected) in [
        (Fault::reset_after(7), "he"),
        (Fault::reset_after(3).reads(), ""),
        (Fault::reset_after(3).writes(), "hel"),
    ] {
        let (_server, clients) = start!(always(fault), |mut conn: Connection| async move {
            let mut buf = [0; 5];
            conn.read_exact(&mut buf).await?;
            conn.write_all(&buf).await
        });
        let mut client = clients.connect().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn a_real_client_is_reset_after_a_number_of_bytes() {
    let ends = Ends::default();
    let server = Server::bind("127.0.0.1:0")
        .observe(ends.clone())
        .layer(always(Fault::reset_after(15)))
        .start(handle(echo))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    client.write_all(b"world").await.unwrap();
    let rest = timeout(LONG, client.read_to_end(&mut Vec::new()))
        .await
        .unwrap();
    assert_eq!(rest.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let outcome = ends.of(1).await;
    let is_reset = |outcome: &Outcome| match outcome {
        Outcome::Failed(error) => error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset),
        _ => false,
    };
    assert!(is_reset(&outcome), "{outcome}");

    // Even if the handler ignores the error, its client is gone.
    let server = Server::bind("127.0.0.1:0")
        .layer(always(Fault::reset_after(0).writes()))
        .start(handle(|mut conn: Connection| async move {
            let error = conn.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            let error = conn.write_u8(1).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            assert!(conn.flush().await.is_err() && conn.shutdown().await.is_err());
            std::future::pending::<io::Result<()>>().await
        }))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    let rest = timeout(LONG, client.read_to_end(&mut Vec::new()))
        .await
        .unwrap();
    assert_eq!(rest.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_probability_is_the_part_of_connections_that_is_hit() {
    let layer = |seed| {
        FaultLayer::new(seed)
            .with(0.0, Fault::reset_after(1))
            .with(0.3, Fault::reset_after(2))
            .with(0.3, Fault::reset_after(3))
            .with(1.0, Fault::reset_after(4))
    };
    let hit = |seed, after| -> Vec<u64> {
        let layer = layer(seed);
        (1..=10_000)
            .filter(|&id| {
                layer
                    .hits(id)
                    .any(|fault| fault == Fault::reset_after(after))
            })
            .collect()
    };
    assert_eq!((hit(1, 1).len(), hit(1, 4).len()), (0, 10_000));
    for (seed, after) in [(1, 2), (1, 3), (2, 2), (u64::MAX, 2)] {
        let count = hit(seed, after).len();
        assert!((2850..3150).contains(&count), "{count}");
        assert_eq!(hit(seed, after), hit(seed, after));
    }
    // Faults are independent of each other, and so are seeds.
    for (one, other) in [(hit(1, 2), hit(1, 3)), (hit(1, 2), hit(2, 2))] {
        let both = one.iter().filter(|id| other.contains(id)).count();
        assert!((800..1000).contains(&both), "{both}");
    }
}

/// Returns what twenty clients observe that connect in groups of this size.
async fn experiences(at_once: usize) -> Vec<(u64, Vec<(u128, usize)>)> {
    let faults = FaultLayer::new(7)
        .with(0.5, Fault::latency(10 * MILLI, 30 * MILLI))
        .with(0.5, Fault::slices(1..=20))
        .with(0.3, Fault::bandwidth(1000))
        .with(0.2, Fault::reset_after(90));
    let (_server, clients) = start!(faults, echo);
    let mut all = Vec::new();
    for group in 0..20 / at_once {
        let mut tasks = JoinSet::new();
        for n in 0..at_once {
            let mut client = clients.connect().await.unwrap();
            let id = (group * at_once + n + 1) as u64;
            tasks.spawn(async move {
                // A reset may arrive before everything has been sent.
                let _ = client.write_all(&text(100)).await;
                let _ = client.shutdown().await;
                (id, pieces(&mut client).await.unwrap())
            });
        }
        all.extend(tasks.join_all().await);
    }
    all.sort_unstable();
    all
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_makes_the_same_faults_whatever_other_connections_do() {
    let alone = experiences(1).await;
    assert_eq!(experiences(1).await, alone);
    assert_eq!(experiences(5).await, alone);
    assert_eq!(experiences(20).await, alone);
    let kinds: std::collections::BTreeSet<_> = alone.iter().map(|(_, seen)| seen).collect();
    assert!(kinds.len() > 8, "they differ: {alone:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_without_a_fault_notice_nothing() {
    let (server, clients) = start!(FaultLayer::new(1).with(0.0, Fault::reset_after(0)), echo);
    let mut client = clients.connect().await.unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        assert!(echoes(&mut client, &"x".repeat(2000)).await);
    }
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
    assert!(began.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn of_two_of_a_kind_the_last_is_the_one() {
    let faults = FaultLayer::new(1)
        .with(1.0, Fault::latency(SECOND, Duration::ZERO))
        .with(1.0, Fault::latency(2 * SECOND, Duration::ZERO));
    let (_server, clients) = start!(faults, echo);
    let mut client = clients.connect().await.unwrap();
    let began = Instant::now();
    assert!(echoes(&mut client, "hello").await);
    assert_eq!(began.elapsed(), 2 * SECOND);
}
