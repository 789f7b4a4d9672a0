//! `BandwidthLayer`: the rate and the quota of a single connection.

use crate::support::{Ends, LONG, Served, echo, echoes};
use reagent::{
    BoxError, Connection, IoStream, Outcome, Server, Upgrade, UpgradeLayer, handle,
    testing::MemoryListener,
};
use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Quota, Rate, Rates};
use std::{
    future::{pending, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
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

/// Bytes that reveal lost or reordered ones.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

async fn send(mut conn: Connection, len: usize) -> io::Result<()> {
    conn.write_all(&text(len)).await
}

/// Reads to the end. Returns the number of bytes in each read, and the milliseconds until then.
async fn arrivals(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<(u128, usize)>> {
    let (began, mut seen, mut got) = (Instant::now(), Vec::new(), Vec::new());
    let mut buf = vec![0; 256 * 1024];
    while let n @ 1.. = stream.read(&mut buf).await? {
        seen.push((began.elapsed().as_millis(), n));
        got.extend_from_slice(&buf[..n]);
    }
    assert!(got == text(got.len()), "as they were sent");
    Ok(seen)
}

/// The arrivals of 1,000 bytes at 1,000 per second with a burst of 100.
fn steadily() -> Vec<(u128, usize)> {
    (0..10).map(|turn| (turn * 100, 100)).collect()
}

#[tokio::test(start_paused = true)]
async fn writes_go_as_fast_as_they_may_and_no_faster() {
    let limits = limits().per_connection(Rates::write(Rate::new(1000)));
    let (server, clients) = start!(limits, |conn| send(conn, 1000));
    let mut client = clients.connect().await.unwrap();
    assert_eq!(arrivals(&mut client).await.unwrap(), steadily());
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn reads_go_as_fast_as_they_may_and_no_faster() {
    let limits = limits().per_connection(Rates::read(Rate::new(1000)));
    let (server, clients) = start!(limits, |mut conn: Connection| async move {
        assert_eq!(arrivals(&mut conn).await?, steadily());
        io::Result::Ok(())
    });
    let mut client = clients.connect().await.unwrap();
    client.write_all(&text(1000)).await.unwrap();
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_too_fast_is_held_back() {
    let limits = limits().per_connection(Rates::read(Rate::new(1000)));
    let (_server, clients) = start!(limits, echo);
    let mut client = clients.connect().await.unwrap();
    let mut sent = 0;
    while let Ok(written) = timeout(10 * SECOND, client.write(&[0; 1024])).await {
        sent += written.unwrap();
        if sent > 70_000 {
            break;
        }
    }
    // The bytes in the pipe, and those that passed it in the meantime.
    let began = Instant::now();
    client.write_all(&[0; 10_000]).await.unwrap();
    assert!((9..=10).contains(&began.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn one_direction_does_not_wait_for_the_other() {
    let limits = limits().per_connection(Rates::each(Rate::new(10), Rate::new(1_000_000)));
    let (_server, clients) = start!(limits, |mut conn: Connection| async move {
        conn.read_exact(&mut [0; 2]).await?;
        conn.write_all(&text(100_000)).await?;
        conn.read_u8().await.map(drop)
    });
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"123").await.unwrap();
    assert_eq!(
        arrivals(&mut client).await.unwrap(),
        [(100, 65_536), (100, 34_464)]
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_there_is_a_burst_and_no_more() {
    let limits = limits().per_connection(Rate::new(1000).burst(300));
    let (_server, clients) = start!(limits, |mut conn: Connection| async move {
        conn.write_all(&text(1)).await?;
        sleep(3600 * SECOND).await;
        conn.write_all(&text(501)[1..]).await
    });
    let mut client = clients.connect().await.unwrap();
    client.read_u8().await.unwrap();
    let began = Instant::now();
    let mut at = Vec::new();
    for _ in 0..3 {
        at.push((
            began.elapsed().as_secs(),
            client.read(&mut [0; 1000]).await.unwrap(),
        ));
    }
    assert_eq!(at, [(0, 300), (3600, 100), (3600, 100)]);
    assert_eq!(began.elapsed(), 3600 * SECOND + SECOND / 5);
}

#[tokio::test(start_paused = true)]
async fn a_changed_rate_is_seen_by_waiting_connections() {
    let limits = limits().per_connection(Rate::new(0).burst(10));
    let (_server, clients) = start!(limits.clone(), |conn| send(conn, 5010));
    let mut client = clients.connect().await.unwrap();
    let mut buf = [0; 2000];
    assert_eq!(client.read(&mut buf).await.unwrap(), 10);
    // A rate of 0 passes nothing.
    assert!(
        timeout(3600 * SECOND + SECOND / 2, client.read(&mut buf))
            .await
            .is_err()
    );

    let began = Instant::now();
    limits.set_per_connection(Rate::new(10_000));
    client.read_exact(&mut buf[..1000]).await.unwrap();
    assert!(began.elapsed() <= SECOND);
    limits.set_per_connection(Rate::new(1));
    // Bytes granted before the change are still passed.
    while timeout(SECOND / 1000, client.read(&mut buf)).await.is_ok() {}
    assert!(timeout(100 * SECOND, client.read(&mut buf)).await.is_err());
    limits.set_per_connection(Rates::NONE);
    assert!(
        timeout(SECOND, client.read_to_end(&mut Vec::new()))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_reaches_connections_that_are_open_already() {
    let limits = limits();
    let (_server, clients) = start!(limits.clone(), echo);
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "as fast as you like").await);
    let sets: [fn(&BandwidthLimits, Option<Rate>); 2] = [
        BandwidthLimits::set_per_connection,
        BandwidthLimits::set_total,
    ];
    for set in sets {
        set(&limits, Some(Rate::new(100)));
        let began = Instant::now();
        // Ten at once, and the rest at the rate, for reads and writes at the same time.
        assert!(echoes(&mut client, &"x".repeat(110)).await);
        assert_eq!(began.elapsed(), SECOND);
        set(&limits, None);
    }
    let began = Instant::now();
    assert!(echoes(&mut client, &"x".repeat(10_000)).await);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn no_number_is_too_large() {
    let largest = Rate::new(u64::MAX).burst(u64::MAX);
    let limits = limits()
        .per_connection(largest)
        .per_client(largest)
        .total(largest)
        .quota(Quota::new().total(u64::MAX - 1));
    let (_server, clients) = start!(limits, echo);
    let mut client = clients.connect().await.unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        assert!(echoes(&mut client, &"x".repeat(10_000)).await);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn vectored_writes_are_bounded_and_keep_their_order() {
    let limits = limits().per_connection(Rate::new(1000).burst(100));
    let (server, clients) = start!(limits, |mut conn: Connection| async move {
        assert!(conn.is_write_vectored());
        let text = text(450);
        let mut done = 0;
        let mut written = Vec::new();
        while done < text.len() {
            // Slices of thirty bytes each, with empty ones in between.
            let bufs: Vec<_> = text[done..]
                .chunks(30)
                .flat_map(|chunk| [IoSlice::new(&[]), IoSlice::new(chunk)])
                .collect();
            written.push(conn.write_vectored(&bufs).await?);
            done += written[written.len() - 1];
        }
        assert_eq!(written, [100, 100, 100, 100, 50]);
        // More slices than the layer looks at.
        sleep(SECOND).await;
        let bytes = vec![IoSlice::new(b"x"); 40];
        assert_eq!(conn.write_vectored(&bytes).await?, 16);
        io::Result::Ok(())
    });
    let mut client = clients.connect().await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
    assert!(got == [&text(450)[..], &[b'x'; 16]].concat());
}

#[tokio::test(start_paused = true)]
async fn empty_operations_do_not_wait() {
    let limits = limits().per_connection(Rate::new(1));
    let (server, clients) = start!(limits, |mut conn: Connection| async move {
        conn.write_all(b"x").await?;
        conn.read_u8().await?;
        let began = Instant::now();
        assert_eq!(conn.read(&mut []).await?, 0);
        assert_eq!(conn.write(&[]).await?, 0);
        assert_eq!(conn.write_vectored(&[IoSlice::new(&[])]).await?, 0);
        conn.flush().await?;
        conn.shutdown().await?;
        assert_eq!(began.elapsed(), Duration::ZERO);
        pending::<io::Result<()>>().await
    });
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"xyz").await.unwrap();
    let began = Instant::now();
    // The end does not overtake any byte and does not wait for a turn.
    assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(server.connection_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_is_seen_at_once() {
    let limits = limits().per_connection(Rate::new(1));
    let (server, clients) = start!(limits, echo);
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "x").await);
    drop(client);
    let began = Instant::now();
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
    assert!(began.elapsed() < SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn unused_bytes_are_given_back() {
    let limits = limits().per_connection(Rate::new(0).burst(100_000));
    let (server, clients) = start!(limits, |mut conn: Connection| async move {
        // The pipe has room for exactly this many bytes.
        assert_eq!(conn.write(&[0; 100_000]).await?, 65_536);
        for _ in 0..100 {
            assert!(
                timeout(SECOND / 1000, conn.write(&[0; 100_000]))
                    .await
                    .is_err()
            );
        }
        // Reads without data are free.
        for _ in 0..100 {
            assert!(
                timeout(SECOND / 1000, conn.read(&mut [0; 100_000]))
                    .await
                    .is_err()
            );
        }
        conn.write_u8(1).await?;
        let began = Instant::now();
        conn.write_all(&[0; 34_463]).await?;
        conn.read_exact(&mut [0; 60_000]).await?;
        conn.read_exact(&mut [0; 40_000]).await?;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(timeout(3600 * SECOND, conn.write_u8(1)).await.is_err());
        io::Result::Ok(())
    });
    let (mut read, mut write) = tokio::io::split(clients.connect().await.unwrap());
    sleep(SECOND).await;
    let sending = async { write.write_all(&[0; 100_000]).await.unwrap() };
    let mut got = Vec::new();
    let (read, ()) = tokio::join!(read.read_to_end(&mut got), sending);
    read.unwrap();
    assert_eq!(got.len(), 100_000);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_read_or_write_loses_nothing() {
    let limits = limits()
        .per_connection(Rate::new(1000))
        .total(Rate::new(700));
    let (server, clients) = start!(limits, |mut conn: Connection| async move {
        let text = text(5000);
        let (mut sent, mut got) = (0, Vec::new());
        let mut patience = 0;
        while sent < text.len() || got.len() < text.len() {
            patience = (patience + 7) % 120;
            let mut buf = [0; 333];
            tokio::select! {
                read = conn.read(&mut buf) => got.extend_from_slice(&buf[..read?]),
                () = sleep(Duration::from_millis(patience)) => {}
            }
            tokio::select! {
                written = conn.write(&text[sent..]), if sent < text.len() => sent += written?,
                () = sleep(Duration::from_millis(patience / 2)) => {}
            }
        }
        assert!(got == text, "as they were sent");
        io::Result::Ok(())
    });
    let (mut read, mut write) = tokio::io::split(clients.connect().await.unwrap());
    let sending = async { write.write_all(&text(5000)).await.unwrap() };
    let (seen, ()) = tokio::join!(arrivals(&mut read), sending);
    assert_eq!(seen.unwrap().iter().map(|(_, n)| n).sum::<usize>(), 5000);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

async fn is_over(server: &Served, id: u64, quota: &str) -> bool {
    matches!(server.ends.of(id).await, Outcome::Rejected(over) if over.reason() == quota)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_more_than_its_quota_is_ended() {
    let (server, clients) = start!(limits().quota(Quota::new().read(10)), echo);
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "0123456789").await);
    sleep(SECOND).await;
    assert_eq!(server.connection_count(), 1);
    client.write_all(b"x").await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert!(is_over(&server, 1, "read quota").await);

    // Exactly the quota followed by the end is within the quota.
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "0123456789").await);
    drop(client);
    assert!(matches!(server.ends.of(2).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_sends_more_than_the_quota_is_ended() {
    let limits = limits()
        .quota(Quota::new().write(10))
        .per_connection(Rate::new(100));
    let (server, clients) = start!(limits.clone(), |conn| send(conn, 11));
    let mut client = clients.connect().await.unwrap();
    assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 10);
    assert!(is_over(&server, 1, "write quota").await);

    // The change applies to later connections.
    limits.set_quota(Quota::NONE);
    let mut client = clients.connect().await.unwrap();
    assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap(), 11);
    assert!(matches!(server.ends.of(2).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_quota_can_be_for_both_ways_together() {
    let quota = Quota::new().read(100).write(100).total(11);
    let (server, clients) = start!(limits().quota(quota), echo);
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "01234").await);
    client.write_all(b"x").await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert!(is_over(&server, 1, "total quota").await);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ignores_the_error_is_ended_all_the_same() {
    let limits = limits().quota(Quota::new().write(10));
    let (server, clients) = start!(limits, |mut conn: Connection| async move {
        conn.write_all(&[0; 10]).await?;
        let error = conn
            .write_vectored(&[IoSlice::new(b"x")])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        match conn.read_u8().await {
            Ok(_) => pending::<io::Result<()>>().await,
            Err(_) => Ok(()),
        }
    });
    let mut silent = clients.connect().await.unwrap();
    assert_eq!(silent.read_to_end(&mut Vec::new()).await.unwrap(), 10);
    assert!(is_over(&server, 1, "write quota").await);
    let _gone = clients.connect().await.unwrap();
    assert!(is_over(&server, 2, "write quota").await);
}

/// Yields a number of bytes and then an error.
struct Broken<Io> {
    io: Io,
    left: usize,
}

impl<Io: IoStream> AsyncRead for Broken<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let (before, left) = (buf.filled().len(), self.left as u64);
        ready!(Pin::new(&mut (&mut self.io).take(left)).poll_read(cx, buf))?;
        self.left -= buf.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<Io: IoStream> AsyncWrite for Broken<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

struct Breaks;

impl<Io: IoStream> Upgrade<Io> for Breaks {
    type Io = Broken<Io>;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Self::Io>, BoxError> {
        Ok(conn.map_io(|io| Broken { io, left: 11 }))
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_with_no_bytes_and_loses_none() {
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let _server = Server::new(listener)
        .observe(ends.clone())
        .layer(UpgradeLayer::new(Breaks))
        .layer(BandwidthLayer::new(limits().per_connection(Rate::new(100))))
        .start(handle(|mut conn: Connection| async move {
            conn.read_exact(&mut [0; 10]).await?;
            // One byte arrived before the turn, and the error after it.
            let mut bytes = [0; 10];
            let mut buf = ReadBuf::new(&mut bytes);
            let read = poll_fn(|cx| Pin::new(&mut conn).poll_read(cx, &mut buf)).await;
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert!(buf.filled().is_empty());
            let mut last = ReadBuf::new(&mut bytes[..1]);
            poll_fn(|cx| Pin::new(&mut conn).poll_read(cx, &mut last)).await?;
            assert_eq!(last.filled(), &text(11)[10..]);
            io::Result::Ok(())
        }))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(&text(11)).await.unwrap();
    let outcome = ends.of(1).await;
    assert!(matches!(outcome, Outcome::Completed), "{outcome}");
}

#[tokio::test]
async fn a_real_client_is_served_at_the_rate() {
    let limits = limits().per_connection(Rate::new(1_000_000).burst(10_000));
    let server = Server::bind("127.0.0.1:0")
        .layer(BandwidthLayer::new(limits))
        .start(handle(echo))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let (mut read, mut write) = TcpStream::connect(addr).await.unwrap().into_split();
    let began = Instant::now();
    let sending = async {
        write.write_all(&text(300_000)).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (seen, ()) = timeout(LONG, async { tokio::join!(arrivals(&mut read), sending) })
        .await
        .unwrap();
    assert_eq!(seen.unwrap().iter().map(|(_, n)| n).sum::<usize>(), 300_000);
    // It may take longer on a slow machine, but not less.
    assert!(
        began.elapsed() >= Duration::from_millis(290),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_reset_is_seen_while_waiting_without_any_bytes_left() {
    let limits = limits().per_connection(Rates::read(Rate::new(1)));
    let ends = Ends::default();
    let server = Server::bind("127.0.0.1:0")
        .observe(ends.clone())
        .layer(BandwidthLayer::new(limits))
        .start(handle(echo))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    assert!(echoes(&mut client, "x").await);
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    let outcome = ends.of(1).await;
    assert_eq!(outcome.to_string(), "disconnected: reset");
}
