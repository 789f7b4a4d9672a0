//! `per_core`: acceptors and connections run on dedicated threads.

use crate::support::{Dir, LONG, connect, echo, echoes, rest, stop, unix, until};
use reagent::{Connection, Server, ServerHandle, handle};
use std::{collections::BTreeSet, io};
use tokio::{io::AsyncWriteExt, net::UnixStream};

/// Sends the client the name of the thread that serves it.
async fn tell_thread(mut conn: Connection) -> io::Result<()> {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    conn.write_all(name.as_bytes()).await
}

async fn threads(server: &ServerHandle, clients: usize) -> BTreeSet<String> {
    let mut threads = BTreeSet::new();
    for _ in 0..clients {
        let name = rest(&mut connect(server).await).await.unwrap();
        threads.insert(String::from_utf8(name).unwrap());
    }
    threads
}

#[tokio::test]
async fn every_core_has_an_acceptor() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let server = Server::bind("127.0.0.1:0")
        .per_core()
        .start(handle(echo))
        .await
        .unwrap();
    assert_eq!(server.stats().acceptors, cores);
    for _ in 0..20 {
        assert!(echoes(&mut connect(&server).await, "hello").await);
    }
    stop(&server).await;
}

#[tokio::test]
async fn connections_run_on_the_threads_of_their_acceptors() {
    let server = Server::bind("127.0.0.1:0").per_core().acceptors(2);
    let server = server.start(handle(tell_thread)).await.unwrap();
    assert_eq!(server.stats().acceptors, 2);
    let expected = ["reagent-core-0", "reagent-core-1"].map(str::to_owned);
    assert_eq!(threads(&server, 100).await, BTreeSet::from(expected));
    stop(&server).await;
}

#[tokio::test]
async fn acceptors_that_come_later_share_the_threads() {
    let server = Server::bind("127.0.0.1:0").per_core().acceptors(2);
    let server = server.start(handle(tell_thread)).await.unwrap();
    server.set_acceptors(5);
    until("five accept", || server.stats().acceptors == 5).await;
    let expected = ["reagent-core-0", "reagent-core-1"].map(str::to_owned);
    assert_eq!(
        threads(&server, 100).await,
        BTreeSet::from(expected.clone())
    );
    server.set_acceptors(1);
    until("one accepts", || server.stats().acceptors == 1).await;
    assert_eq!(
        threads(&server, 20).await,
        BTreeSet::from([expected[0].clone()])
    );
    stop(&server).await;
}

#[tokio::test]
async fn a_server_that_starts_paused_has_its_threads_all_the_same() {
    let server = Server::bind("127.0.0.1:0").per_core().acceptors(0);
    let server = server.start(handle(tell_thread)).await.unwrap();
    server.set_acceptors(2);
    let threads = threads(&server, 20).await;
    assert!(
        threads.iter().all(|name| name.starts_with("reagent-core-")),
        "{threads:?}"
    );
    stop(&server).await;
}

#[tokio::test]
async fn tcp_and_unix_addresses_are_served() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let server = Server::bind(["127.0.0.1:0", &unix(&path)])
        .per_core()
        .acceptors(2);
    let server = server.start(handle(tell_thread)).await.unwrap();
    assert_eq!(server.stats().acceptors, 4);
    for _ in 0..20 {
        let name = rest(&mut UnixStream::connect(&path).await.unwrap())
            .await
            .unwrap();
        assert!(name.starts_with(b"reagent-core-"));
    }
    assert_eq!(threads(&server, 100).await.len(), 2);
    stop(&server).await;
    assert!(!path.exists());
}

/// Sends the client the id of the thread that serves it.
#[cfg(target_os = "linux")]
async fn tell_thread_id(mut conn: Connection) -> io::Result<()> {
    let thread = std::fs::read_link("/proc/thread-self")?;
    conn.write_all(thread.to_str().expect("a number").as_bytes())
        .await?;
    echo(conn).await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_threads_end_with_the_server() {
    use tokio::io::AsyncReadExt;
    for deadline in [LONG, std::time::Duration::ZERO] {
        let server = Server::bind("127.0.0.1:0").per_core().acceptors(2);
        let server = server.start(handle(tell_thread_id)).await.unwrap();
        let (mut clients, mut threads) = (Vec::new(), BTreeSet::new());
        for _ in 0..50 {
            let mut client = connect(&server).await;
            let mut thread = [0; 64];
            let length = client.read(&mut thread).await.unwrap();
            threads.insert(String::from_utf8(thread[..length].to_vec()).unwrap());
            clients.push(client);
        }
        assert_eq!(threads.len(), 2);
        if deadline == LONG {
            clients.clear();
        }
        let report = server.drain(deadline).await;
        assert_eq!(report.aborted, clients.len());
        let is_there = |thread: &String| std::path::Path::new("/proc").join(thread).exists();
        until("the threads are gone", || !threads.iter().any(is_there)).await;
    }
}
