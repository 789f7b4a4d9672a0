//! `MetricsObserver`: counts return to zero, handles are looked up once, and the given recorder is
//! used.

use crate::{
    endings::{WAYS, all_ended, as_told, end, tell},
    metrics::Page,
    support::{LONG, echo, echoes, until},
};
use metrics_exporter_prometheus::PrometheusBuilder;
use reagent::{BoxError, Connection, Server, handle, testing::MemoryListener};
use reagent_layers::metrics::MetricsObserver;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    task::JoinSet,
    time::timeout,
};

#[tokio::test(start_paused = true)]
async fn after_ten_thousand_connections_that_ended_in_every_way_nothing_is_left() {
    const EACH: usize = 1400;
    let (page, observer) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(observer)
        .acceptors(4)
        .max_connections(300)
        .start(handle(as_told))
        .await
        .unwrap();

    let mut tasks = JoinSet::new();
    for task in 0..70 {
        let clients = clients.clone();
        tasks.spawn(async move {
            for turn in 0..EACH * WAYS.len() / 70 {
                end(&clients, WAYS[(task + turn) % WAYS.len()].0).await;
            }
        });
    }
    tasks.join_all().await;
    all_ended(&server).await;
    assert_eq!(page.value("reagent_connections_active", None), 0.0);

    let mut last = Vec::new();
    for _ in 0..100 {
        last.push(tell(&clients, b'w').await);
        last.push(tell(&clients, b'h').await);
    }
    assert_eq!(page.value("reagent_connections_active", None), 200.0);
    let report = server.drain(Duration::from_secs(1)).await;
    assert_eq!((report.finished, report.aborted), (100, 100));

    let zero = ["connections_active", "acceptors_active", "exhausted"];
    for name in zero {
        assert_eq!(page.value(&format!("reagent_{name}"), None), 0.0, "{name}");
    }
    let total = page.value("reagent_connections_accepted_total", None);
    assert_eq!(total, 10_000.0);
    for (_, outcome) in WAYS {
        let closed = page.value("reagent_connections_closed_total", ("outcome", outcome));
        let more = match outcome {
            "drained" | "aborted" => 100,
            _ => 0,
        };
        assert_eq!(closed, (EACH + more) as f64, "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_and_threads_are_counted_exactly() {
    let (page, observer) = Page::new();
    let server = Server::bind("127.0.0.1:0")
        .observe(observer)
        .acceptors(2)
        .start(handle(echo))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        tasks.spawn(async move {
            for _ in 0..25 {
                let mut client = TcpStream::connect(addr).await.unwrap();
                assert!(echoes(&mut client, "hello").await);
                client.shutdown().await.unwrap();
            }
        });
    }
    timeout(LONG, tasks.join_all()).await.unwrap();
    until("the ends", || server.stats().completed == 200).await;
    assert_eq!(page.value("reagent_connections_active", None), 0.0);
    for (name, value) in [
        ("connections_accepted", 200.0),
        ("connection_received_bytes", 1000.0),
        ("connection_sent_bytes", 1000.0),
    ] {
        assert_eq!(page.value(&format!("reagent_{name}_total"), None), value);
    }
}

fn bytes(page: &Page) -> [f64; 2] {
    ["received", "sent"].map(|name| {
        let name = format!("reagent_connection_{name}_bytes_total");
        page.value(&name, None)
    })
}

#[tokio::test]
async fn the_bytes_of_an_open_connection_are_counted_at_a_refresh_and_once() {
    let (page, observer) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(observer.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    assert_eq!(bytes(&page), [0.0; 2]);
    observer.refresh(&server);
    observer.refresh(&server);
    assert_eq!(bytes(&page), [5.0; 2]);
    assert!(echoes(&mut client, "bye").await);
    drop(client);
    all_ended(&server).await;
    assert_eq!(bytes(&page), [8.0; 2]);
    // A connection that starts after the refresh and ends before the next one.
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    all_ended(&server).await;
    observer.refresh(&server);
    assert_eq!(bytes(&page), [13.0; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_is_counted_twice_or_never_while_connections_end() {
    let (page, observer) = Page::new();
    let server = Server::bind("127.0.0.1:0")
        .observe(observer.clone())
        .start(handle(echo))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let (done, refreshed) = (Arc::new(AtomicBool::new(false)), server.clone());
    let refreshing = std::thread::spawn({
        let done = done.clone();
        move || {
            while !done.load(Ordering::Relaxed) {
                observer.refresh(&refreshed);
            }
        }
    });
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        tasks.spawn(async move {
            for _ in 0..50 {
                let mut client = TcpStream::connect(addr).await.unwrap();
                assert!(echoes(&mut client, "hello").await);
                assert!(echoes(&mut client, "again").await);
            }
        });
    }
    timeout(LONG, tasks.join_all()).await.unwrap();
    all_ended(&server).await;
    done.store(true, Ordering::Relaxed);
    refreshing.join().unwrap();
    assert_eq!(bytes(&page), [4000.0; 2]);
}

#[tokio::test]
async fn failures_are_counted_by_the_class_that_a_layer_names() {
    let (page, observer) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(observer)
        .start(handle(|mut conn: Connection| async move {
            if conn.read_u8().await? == b'n' {
                conn.label("error.type", "no_common_protocol");
            }
            Err::<(), BoxError>("it cannot be served".into())
        }))
        .await
        .unwrap();
    for byte in *b"nnx" {
        let mut client = clients.connect().await.unwrap();
        client.write_u8(byte).await.unwrap();
        let _ = timeout(LONG, client.read_u8()).await.unwrap();
    }
    all_ended(&server).await;
    for (reason, count) in [("no_common_protocol", 2.0), ("other", 1.0)] {
        let value = page.value("reagent_connections_failed_total", ("reason", reason));
        assert_eq!(value, count, "{reason}");
    }
}

/// Returns the number of allocations of this many consecutive connections.
fn allocations(count: usize, observer: Option<MetricsObserver>) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (listener, clients) = MemoryListener::new();
    let mut server = Server::new(listener);
    if let Some(observer) = observer {
        server = server.observe(observer);
    }
    let server = runtime.block_on(server.start(handle(as_told))).unwrap();
    let serve = |count| {
        runtime.block_on(async {
            for turn in 0..count {
                end(&clients, WAYS[turn % WAYS.len()].0).await;
                all_ended(&server).await;
            }
        });
    };
    serve(70);
    allocation_counter::measure(|| serve(count)).count_total
}

#[test]
fn a_connection_makes_the_observer_take_no_memory() {
    let bare = allocations(700, None);
    assert!(bare > 700, "it counts");
    let observer = MetricsObserver::with_recorder(metrics::NoopRecorder);
    assert_eq!(allocations(700, Some(observer)), bare);

    // The exporter's histogram allocates a block of samples at a time.
    let recorder = PrometheusBuilder::new().build_recorder();
    let observer = MetricsObserver::with_recorder(recorder);
    let more = allocations(700, Some(observer)) - bare;
    assert!(more * 10 <= 700, "{more} for 700");
}

#[tokio::test]
async fn the_recorder_is_the_one_named_or_else_the_global_one() {
    let global = PrometheusBuilder::new().build_recorder();
    let global_page = global.handle();
    metrics::set_global_recorder(global).expect("no other test needs it");
    let local = PrometheusBuilder::new().build_recorder();
    let local_page = local.handle();
    for observer in [
        MetricsObserver::new(),
        MetricsObserver::with_recorder(local),
    ] {
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener)
            .observe(observer)
            .start(handle(as_told))
            .await
            .unwrap();
        end(&clients, b'c').await;
        all_ended(&server).await;
    }
    for page in [global_page, local_page] {
        let page = page.render();
        let accepted = "reagent_connections_accepted_total{";
        let accepted: Vec<_> = page.lines().filter(|l| l.starts_with(accepted)).collect();
        assert_eq!(accepted.len(), 1, "{page}");
        assert!(accepted[0].ends_with("} 1"), "{accepted:?}");
    }
}
