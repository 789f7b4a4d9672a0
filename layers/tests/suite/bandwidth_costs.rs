//! `BandwidthLayer`: its cost when it has nothing to limit.

use crate::support::{echo, echoes};
use reagent::{
    BoxIo, Connection, ConnectionService, Server, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::bandwidth::{BandwidthIo, BandwidthLayer, BandwidthLimits, Quota, Rate};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};
use tokio::{runtime::Builder, time::sleep};
use tower::service_fn;

/// Rates of every kind that are never reached.
fn wide() -> BandwidthLimits {
    let rate = Rate::new(1_000_000_000);
    BandwidthLimits::new()
        .per_connection(rate)
        .per_client(rate)
        .total(rate)
}

fn client() -> SocketAddr {
    ([192, 0, 2, 1], 4000).into()
}

/// Counts the polls of the handlers.
fn counting(
    polls: Arc<AtomicU64>,
) -> impl ConnectionService<BandwidthIo<BoxIo>, Error = std::io::Error> + Clone {
    service_fn(move |conn: Connection<BandwidthIo<BoxIo>>| {
        let (polls, mut echoing) = (polls.clone(), Box::pin(echo(conn.boxed())));
        std::future::poll_fn(move |cx| -> Poll<std::io::Result<()>> {
            polls.fetch_add(1, Relaxed);
            echoing.as_mut().poll(cx)
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_thousand_idle_connections_have_no_timer() {
    // Each connection uses up its own bytes with its first write, and the last one uses up those of
    // all.
    let rate = Rate::new(0).burst(1);
    let limits = BandwidthLimits::new()
        .per_connection(rate)
        .per_client(Rate::new(0).burst(1000))
        .total(Rate::new(0).burst(1000));
    let polls = Arc::new(AtomicU64::new(0));
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .layer(BandwidthLayer::new(limits))
        .start(counting(polls.clone()))
        .await
        .unwrap();
    let mut open = Vec::new();
    for _ in 0..1000 {
        open.push(clients.connect_from(client()).await.unwrap());
        assert!(echoes(open.last_mut().unwrap(), "x").await);
    }
    let before = polls.load(Relaxed);
    // A connection that waited for a turn would check the rate every second.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        (server.connection_count(), polls.load(Relaxed)),
        (1000, before)
    );
}

async fn talk(clients: &Clients, times: usize) {
    let mut client = clients.connect_from(client()).await.unwrap();
    for _ in 0..times {
        assert!(echoes(&mut client, "how are you?").await);
    }
}

/// Returns the number of allocations of a connection that sends a thousand more messages than
/// another.
fn allocations(limits: Option<BandwidthLimits>) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (listener, clients) = MemoryListener::new();
    let _server = runtime
        .block_on(async {
            let server = Server::new(listener);
            match limits {
                None => server.start(handle(echo)).await,
                Some(limits) => {
                    let layer = BandwidthLayer::new(limits);
                    server.layer(layer).start(handle(echo)).await
                }
            }
        })
        .unwrap();
    let serve = |times| runtime.block_on(talk(&clients, times));
    // The server's state for overlapping connections grows only once.
    (0..4).for_each(|_| serve(10));
    let few = allocation_counter::measure(|| serve(10)).count_total;
    allocation_counter::measure(|| serve(1010)).count_total - few
}

#[test]
fn reads_and_writes_take_no_memory_with_a_limit_nor_without() {
    let bare = allocations(None);
    assert!(bare >= 1000, "it counts: {bare}");
    assert_eq!(allocations(Some(BandwidthLimits::new())), bare);
    assert_eq!(allocations(Some(wide())), bare);
    let quota = BandwidthLimits::new().quota(Quota::new().total(1_000_000));
    assert_eq!(allocations(Some(quota)), bare);
}
