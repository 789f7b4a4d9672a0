//! What a server tells about the activity of its connections.

use crate::support::{LONG, echo, soon, until};
use reagent::{Connection, Server, handle, testing::MemoryListener};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, advance, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_connection_knows_when_it_was_last_active_once_somebody_asks() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    let mut exchange = async || {
        client.write_all(b"x").await.unwrap();
        client.read_u8().await.unwrap();
    };
    exchange().await;
    let connection = server.connection(1).unwrap();
    assert_eq!(connection.last_active_at(), None);

    server.track_activity();
    let began = Instant::now();
    assert_eq!(connection.last_active_at(), Some(began));
    sleep(5 * SECOND).await;
    assert_eq!(
        connection.last_active_at(),
        Some(began),
        "nothing has happened"
    );
    exchange().await;
    assert_eq!(connection.last_active_at(), Some(began + 5 * SECOND));
    // A second call neither resets the clock nor starts another.
    sleep(SECOND).await;
    server.track_activity();
    assert_eq!(connection.last_active_at(), Some(began + 5 * SECOND));

    // A new connection counts as active.
    sleep(SECOND / 2).await;
    let _other = clients.connect().await.unwrap();
    sleep(SECOND).await;
    let mut active_at = None;
    server.for_each_connection(|other| {
        if other.id() != 1 {
            active_at = other.last_active_at();
        }
    });
    assert_eq!(active_at, Some(began + 6 * SECOND + SECOND / 2));

    // The clock keeps no stopped server alive.
    soon(server.drain(Duration::ZERO)).await;
    advance(LONG).await;
}

/// Reads and answers messages of as many bytes, with half of them.
async fn halve(mut conn: Connection) -> std::io::Result<()> {
    let mut message = [0; 1000];
    loop {
        let n = conn.read(&mut message).await?;
        conn.write_all(&message[..n / 2]).await?;
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_what_a_connection_moves_in_the_last_one_to_two_seconds() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(halve)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    let mut exchange = async || {
        client.write_all(&[1; 1000]).await.unwrap();
        client.read_exact(&mut [0; 500]).await.unwrap();
    };
    exchange().await;
    let connection = server.connection(1).unwrap();
    assert_eq!(connection.rate(), None);
    assert_eq!(connection.info().rate, None);

    server.track_activity();
    let rate = || {
        let rate = connection.rate().unwrap();
        assert_eq!(connection.info().rate, Some(rate));
        assert_eq!(rate.total(), rate.read + rate.written);
        (rate.read, rate.written)
    };
    assert_eq!(rate(), (0, 0), "earlier bytes do not count");
    exchange().await;
    assert_eq!(rate(), (1000, 500), "a first second that is not over");

    // Four times a second, between the ticks.
    sleep(SECOND / 8).await;
    for n in 1..=40 {
        exchange().await;
        if n > 8 {
            let (read, written) = rate();
            assert!((3500..=4500).contains(&read), "{n}: {read}");
            assert!((1750..=2250).contains(&written), "{n}: {written}");
        }
        sleep(SECOND / 4).await;
    }
    // Nothing more comes. What came in the previous second still counts until the next one.
    let (read, _) = rate();
    assert!(read > 0);
    sleep(SECOND).await;
    sleep(SECOND).await;
    assert_eq!(rate(), (0, 0));
    // The first bytes after a silence count alone.
    sleep(100 * SECOND).await;
    exchange().await;
    let (read, written) = rate();
    assert!((500..=1000).contains(&read), "{read}");
    assert_eq!(written, read / 2);
}

#[tokio::test(start_paused = true)]
async fn a_young_connection_counts_as_if_it_had_been_silent_before() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(halve)).await.unwrap();
    server.track_activity();
    sleep(10 * SECOND + SECOND / 2).await;
    let mut client = clients.connect().await.unwrap();
    client.write_all(&[1; 1000]).await.unwrap();
    client.read_exact(&mut [0; 500]).await.unwrap();
    let connection = server.connection(1).unwrap();
    let rate = || connection.rate().unwrap().read;
    assert_eq!(rate(), 1000);
    // The second in which it was accepted is the previous one until it is 1.5 seconds old.
    sleep(SECOND).await;
    assert_eq!(rate(), 1000);
    sleep(2 * SECOND / 5).await;
    assert_eq!(rate(), 714);
    sleep(SECOND / 5).await;
    assert_eq!(rate(), 0);
}

/// As its clock jumps over seconds then.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_not_on_time_does_not_report_too_high_a_rate() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(halve)).await.unwrap();
    server.track_activity();
    let mut client = clients.connect().await.unwrap();
    for _ in 0..20 {
        client.write_all(&[1; 1000]).await.unwrap();
        client.read_exact(&mut [0; 500]).await.unwrap();
        let connection = server.connection(1).unwrap();
        assert!(connection.rate().unwrap().read <= 1000);
        advance(7 * SECOND / 2).await;
    }
}

#[tokio::test]
async fn a_visit_lets_other_tasks_run_and_leaves_no_connection_out() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..2000 {
        open.push(clients.connect().await.unwrap());
    }
    until("all are accepted", || server.connection_count() == 2000).await;
    let (mut seen, mut turns) = (Vec::new(), 0);
    let visit = server.visit_connections(|connection| seen.push(connection.id()));
    let others = async {
        loop {
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = visit => {}
        () = others => {}
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=2000).collect::<Vec<_>>());
    assert!(turns >= 5, "{turns}");
}

#[tokio::test]
async fn the_bytes_of_connections_are_counted_when_they_end() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    for n in [10, 20] {
        let mut client = clients.connect().await.unwrap();
        client.write_all(&vec![0; n]).await.unwrap();
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
    until("both have ended", || server.stats().completed == 2).await;
    let stats = server.stats();
    assert_eq!((stats.bytes_read, stats.bytes_written), (30, 30));
}

#[tokio::test]
async fn a_handler_says_whether_its_connection_is_in_use() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(async |mut conn: Connection| {
            let handle = conn.handle();
            while let Ok(byte) = conn.read_u8().await {
                match byte {
                    b'?' => handle.set_busy(None),
                    byte => handle.set_busy(byte == b'b'),
                }
                conn.write_u8(b'.').await?;
            }
            std::io::Result::Ok(())
        }))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    until("it is accepted", || server.connection(1).is_some()).await;
    assert_eq!(server.connection(1).unwrap().is_busy(), None);
    for (byte, said) in [(b'b', Some(true)), (b'i', Some(false)), (b'?', None)] {
        client.write_u8(byte).await.unwrap();
        client.read_u8().await.unwrap();
        assert_eq!(server.connection(1).unwrap().is_busy(), said);
    }
}

#[tokio::test]
async fn bytes_in_flight_are_those_that_a_close_could_lose() {
    let (go, told) = tokio::sync::watch::channel(0);
    let server = Server::bind("127.0.0.1:0")
        .start(handle(move |mut conn: Connection| {
            let mut told = told.clone();
            async move {
                told.wait_for(|stage| *stage == 1).await.unwrap();
                conn.read_u8().await?;
                told.wait_for(|stage| *stage == 2).await.unwrap();
                // More than the system takes for the client.
                conn.write_all(&vec![0; 32 << 20]).await?;
                std::future::pending::<std::io::Result<()>>().await
            }
        }))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    until("it is accepted", || server.connection(1).is_some()).await;
    let connection = server.connection(1).unwrap();
    let are_in_flight = || connection.has_bytes_in_flight();
    assert!(!are_in_flight());
    client.write_u8(7).await.unwrap();
    until("a byte is unread", are_in_flight).await;
    go.send_replace(1);
    until("the byte is read", || !are_in_flight()).await;
    go.send_replace(2);
    until("the write waits", are_in_flight).await;
    client.read_exact(&mut vec![0; 32 << 20]).await.unwrap();
    until("everything is written", || !are_in_flight()).await;
}
