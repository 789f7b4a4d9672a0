//! Thousands of connections that end in every possible way leave nothing behind.

use crate::support::{Gauge, LONG, Log, connect_to, echo, echoes, until};
use reagent::{Server, handle};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, task::JoinSet};

const CLIENTS: usize = 10_000;
const AT_ONCE: usize = 800;
const LIMIT: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_ten_thousand_connections() {
    let (log, gauge) = (Log::default(), Gauge::default());
    let server = Server::bind("127.0.0.1:0")
        .max_connections(LIMIT)
        .acceptors(2)
        .observe(log.clone())
        .observe(gauge.clone())
        .start(handle(echo))
        .await
        .unwrap();

    let mut clients = JoinSet::new();
    for first in 0..AT_ONCE {
        let addr = server.local_addr().clone();
        clients.spawn(async move {
            for number in (first..CLIENTS).step_by(AT_ONCE) {
                let mut client = connect_to(&addr).await;
                match number % 4 {
                    // An orderly end, before or after some data.
                    0 if number % 8 == 0 => {}
                    0 | 1 => assert!(echoes(&mut client, "hello").await),
                    // A reset, in the queue or after some data.
                    2 => {
                        let _ = client.write_all(b"unread").await;
                        reset(&client);
                    }
                    _ => {
                        assert!(echoes(&mut client, "hello").await);
                        reset(&client);
                    }
                }
            }
        });
    }
    clients.join_all().await;
    until("all are accepted", || {
        server.stats().accepted == CLIENTS as u64
    })
    .await;
    until("all have left", || server.connection_count() == 0).await;

    let stats = server.stats();
    let ended = stats.completed
        + stats.failed
        + stats.disconnected
        + stats.rejected
        + stats.timed_out
        + stats.drained
        + stats.aborted
        + stats.panicked;
    assert_eq!(
        (stats.open, stats.accepted, ended),
        (0, CLIENTS as u64, CLIENTS as u64)
    );
    assert!(stats.completed >= CLIENTS as u64 / 2 && stats.disconnected > 0);
    assert_eq!(stats.completed + stats.disconnected, ended);
    assert_eq!(stats.turned_away, 0);
    assert!(server.connections().is_empty());
    assert_eq!(gauge.now(), 0);
    assert!(gauge.most() <= LIMIT, "{} at once", gauge.most());

    let (started, ended) = (
        numbers(&log, "connection started: "),
        numbers(&log, "connection ended: "),
    );
    let all: Vec<u64> = (1..=CLIENTS as u64).collect();
    assert!(started == all && ended == all);

    // Every permit has been released.
    let mut open = Vec::new();
    for _ in 0..LIMIT {
        let mut client = connect_to(server.local_addr()).await;
        assert!(echoes(&mut client, "hello").await);
        open.push(client);
    }
    assert_eq!(server.connection_count(), LIMIT);
    drop(open);
    let report = server.drain(LONG).await;
    assert_eq!((report.aborted, report.remaining), (0, 0));
}

#[tokio::test]
async fn all_are_served_whatever_the_number_of_acceptors_and_addresses() {
    for (acceptors, addresses) in [(10, 1), (9, 4), (10, 10), (1, 10)] {
        for reuse_port in [false, true] {
            let server = Server::bind(vec!["127.0.0.1:0"; addresses])
                .options(|options| options.reuse_port = reuse_port)
                .acceptors(acceptors)
                .start(handle(echo))
                .await
                .unwrap();
            assert_eq!(server.stats().acceptors, acceptors * addresses);
            let addrs: Vec<_> = server.local_addrs().collect();
            let clients: JoinSet<_> = (0..100)
                .map(|number| {
                    let addr = addrs[number % addresses].clone();
                    async move { echoes(&mut connect_to(&addr).await, "hello").await }
                })
                .collect();
            assert!(clients.join_all().await.into_iter().all(|served| served));
            server.drain(LONG).await;
            let stats = server.stats();
            assert_eq!((stats.accepted, stats.open, stats.acceptors), (100, 0, 0));
        }
    }
}

fn reset(client: &tokio::net::TcpStream) {
    socket2::SockRef::from(client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Returns the numbers of the connections with this event, sorted, including duplicates.
fn numbers(log: &Log, event: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = log
        .events()
        .iter()
        .filter_map(|line| line.strip_prefix(event)?.split(':').next()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}
