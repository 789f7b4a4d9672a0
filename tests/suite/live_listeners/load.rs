//! No client whom the kernel has queued is lost when a listener is closed or the server drains.

use crate::{
    load::{Load, attempt},
    support::{Dir, LONG, echo, serve, stop, unix},
};
use reagent::{Addr, Server, handle};
use std::{path::PathBuf, sync::atomic::Ordering::Relaxed};
use tokio::task::JoinSet;

async fn added_and_closed(rounds: usize, bind: impl Fn(&Addr) -> reagent::Bind, first: String) {
    let server = serve(["127.0.0.1:0".to_owned(), first]).await;
    let addr = server.local_addrs().nth(1).unwrap();
    let mut load = Load::on(&addr);
    for round in 0..rounds {
        let before = load.served.load(Relaxed);
        assert!(server.close_listener(&addr).await, "round {round}");
        assert_eq!(
            server.listen(bind(&addr)).await.unwrap().pop(),
            Some(addr.clone())
        );
        // At least one client is served by the new listener.
        load.reaches(before + 1).await;
    }
    let (served, _) = load.end().await;
    assert!(served >= rounds as u64);
    stop(&server).await;
    let stats = server.stats();
    assert_eq!((stats.open, stats.accepted), (0, served));
    assert_eq!((stats.failed, stats.disconnected), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_listener_is_closed_and_added_a_thousand_times() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    added_and_closed(1_000, |addr| addr.into(), unix(&path)).await;
}

/// A client whose first packet was dropped tries again after a second (`tcp(7)`), so rounds are few
/// with TCP unless another listener remains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_listener_is_closed_and_added_under_load() {
    added_and_closed(50, |addr| addr.into(), "127.0.0.1:0".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_listeners_are_added_and_closed_a_thousand_times_under_load() {
    let server = serve("127.0.0.1:0").await;
    let load = Load::on(server.local_addr());
    let mut others = JoinSet::new();
    for _ in 0..8 {
        let server = server.clone();
        others.spawn(async move {
            for _ in 0..125 {
                let added = server.listen("127.0.0.1:0").await.unwrap();
                assert!(attempt(&added[0]).await);
                assert!(server.close_listener(&added[0]).await);
            }
        });
    }
    while let Some(ended) = others.join_next().await {
        ended.unwrap();
    }
    let (_, refused) = load.end().await;
    assert_eq!(refused, 0);
    assert_eq!(server.stats().acceptors, 1);
    stop(&server).await;
}

async fn drained(bind: String, acceptors: usize, reuse_port: bool) {
    let server = Server::bind(bind)
        .acceptors(acceptors)
        .options(|options| options.reuse_port = reuse_port)
        .start(handle(echo))
        .await
        .unwrap();
    let mut load = Load::on(server.local_addr());
    load.reaches(20).await;
    let report = server.drain(LONG).await;
    let (served, _) = load.end().await;
    assert_eq!((report.aborted, report.remaining), (0, 0));
    assert_eq!(server.stats().accepted, served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_loses_no_client_of_a_unix_socket() {
    let dir = Dir::new();
    for round in 0..100 {
        let path: PathBuf = dir.path(&format!("{round}.sock"));
        drained(unix(&path), 1 + round % 3, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_loses_no_client_of_a_tcp_socket() {
    for round in 0..20 {
        drained("127.0.0.1:0".to_owned(), 1 + round % 3, round % 2 == 0).await;
    }
}
