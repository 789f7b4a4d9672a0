//! Servers that take over from one another. Those of these tests are in one process; the tests of the
//! gateway do the same with programs.

use crate::{
    load::Load,
    support::{
        Dir, LONG, beside, connect_to, echo, echoes, rest, serve, settled, soon, stop, unix, until,
    },
};
use reagent::{
    Addr, Bind, BoxError, Carried, Connection, Error, ErrorChain, Handover, Server, ServerHandle,
    ServerStatus, Shutdown, handle, testing::MemoryListener,
};
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// Starts a server that sends each client its generation, and then echoes.
async fn generation(
    number: u8,
    server: Server,
    handover: impl Into<Handover>,
) -> Result<ServerHandle, Error> {
    let serve = move |mut conn: Connection| async move {
        conn.write_u8(number).await?;
        echo(conn).await
    };
    server.handover(handover).start(handle(serve)).await
}

async fn generation_of(addr: &Addr) -> u8 {
    soon(connect_to(addr).await.read_u8()).await.unwrap()
}

#[tokio::test]
async fn a_successor_serves_the_same_addresses_and_connections_go_on() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let dir = Dir::new();
    let (path, app) = (dir.path("handover.sock"), dir.path("app.sock"));
    let binds = || ["127.0.0.1:0".to_owned(), "[::1]:0".to_owned(), unix(&app)];
    let first = generation(1, Server::bind(binds()), &path).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let addrs: Vec<_> = first.local_addrs().collect();
    let mut old = connect_to(&addrs[0]).await;
    assert_eq!(old.read_u8().await.unwrap(), 1);

    let second = generation(2, Server::bind(binds()), &path).await.unwrap();
    assert_eq!(second.local_addrs().collect::<Vec<_>>(), addrs);
    assert_eq!(generation_of(&addrs[0]).await, 2);
    assert_eq!(generation_of(&addrs[1]).await, 2);
    let mut local = UnixStream::connect(&app).await.unwrap();
    assert_eq!(local.read_u8().await.unwrap(), 2);
    assert_eq!(first.status(), ServerStatus::Draining);
    assert!(echoes(&mut old, "still here").await);
    drop(old);
    let report = soon(first.wait()).await.unwrap();
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert_eq!(first.stats().accepted, 1);
    assert!(
        app.exists() && path.exists(),
        "the files belong to the successor"
    );

    let third = generation(3, Server::bind(binds()), &path).await.unwrap();
    drop(local);
    soon(second.wait()).await.unwrap();
    assert_eq!(generation_of(&addrs[1]).await, 3);
    stop(&third).await;
    assert!(!app.exists() && !path.exists(), "the last one removes them");
}

#[tokio::test]
async fn what_the_successor_does_not_want_is_closed_and_what_is_new_is_opened() {
    let dir = Dir::new();
    let (path, app) = (dir.path("handover.sock"), dir.path("app.sock"));
    let first = Server::bind(["127.0.0.1:0".to_owned(), unix(&app)]);
    let first = generation(1, first, &path).await.unwrap();
    let addr = first.local_addr().clone();
    let second = Server::bind(["127.0.0.1:0", "127.0.0.1:0"]);
    let second = generation(2, second, &path).await.unwrap();
    soon(first.wait()).await.unwrap();
    let addrs: Vec<_> = second.local_addrs().collect();
    assert_eq!(addrs[0], addr);
    assert_ne!(addrs[1], addr);
    assert_eq!(generation_of(&addrs[1]).await, 2);
    assert!(!app.exists(), "nobody listens there any more");
    // The address may also be written as it is.
    let third = generation(3, Server::bind(&addr), &path).await.unwrap();
    soon(second.wait()).await.unwrap();
    assert_eq!(
        third.local_addrs().collect::<Vec<_>>(),
        std::slice::from_ref(&addr)
    );
    assert_eq!(generation_of(&addr).await, 3);
    stop(&third).await;
}

#[tokio::test]
async fn a_listener_added_later_and_one_that_is_no_socket() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let (listener, clients) = MemoryListener::new();
    let first = Server::bind([Bind::new("127.0.0.1:0"), Bind::new(listener)]);
    let first = generation(1, first, &path).await.unwrap();
    let added = first.listen("127.0.0.1:0").await.unwrap().pop().unwrap();
    let mut client = clients.connect().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 1);
    let second = generation(2, Server::bind(&added), &path).await.unwrap();
    assert_eq!(generation_of(&added).await, 2);
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    soon(first.wait()).await.unwrap();
    stop(&second).await;
}

/// A counter that survives.
#[derive(Default)]
struct Counter(AtomicU64);

impl Carried for Counter {
    fn name(&self) -> &str {
        "counter"
    }

    fn save(&self) -> Vec<u8> {
        self.0.load(Relaxed).to_be_bytes().into()
    }

    fn restore(&self, saved: &[u8]) -> Result<(), BoxError> {
        let saved = u64::from_be_bytes(saved.try_into()?);
        if saved == 13 {
            return Err("an unlucky number".into());
        }
        self.0.store(saved, Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn state_is_handed_over_and_a_successor_that_cannot_use_it_changes_nothing() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let counters = [(); 3].map(|()| Arc::new(Counter::default()));
    let handover = |index: usize| Handover::new(&path).carry(counters[index].clone());
    let bind = || Server::bind("127.0.0.1:0");
    let first = generation(1, bind(), handover(0)).await.unwrap();
    let addr = first.local_addr().clone();
    counters[0].0.store(13, Relaxed);
    let refused = generation(2, bind(), handover(1)).await.unwrap_err();
    assert!(matches!(refused, Error::Handover { .. }));
    let text = ErrorChain(&refused).to_string();
    assert!(
        text.contains("unlucky") && text.contains("counter"),
        "{text}"
    );
    assert_eq!(generation_of(&addr).await, 1);
    assert_eq!(first.status(), ServerStatus::Running);

    counters[0].0.store(41, Relaxed);
    let second = generation(2, bind(), handover(2)).await.unwrap();
    soon(first.wait()).await.unwrap();
    assert_eq!(counters[2].0.load(Relaxed), 41);
    assert_eq!(generation_of(&addr).await, 2);
    stop(&second).await;
}

#[tokio::test]
async fn a_successor_that_fails_to_start_changes_nothing() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let first = generation(1, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap();
    let addr = first.local_addr().clone();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let binds = [
        "127.0.0.1:0".to_owned(),
        taken.local_addr().unwrap().to_string(),
    ];
    let refused = generation(2, Server::bind(binds), &path).await.unwrap_err();
    assert!(matches!(refused, Error::Bind { .. }), "{refused:?}");
    let make = tower::service_fn(async |_: reagent::Acceptor| {
        Err::<reagent::Handler<fn(Connection) -> std::future::Ready<io::Result<()>>>, BoxError>(
            "no service".into(),
        )
    });
    let server = Server::bind("127.0.0.1:0").handover(&path);
    let refused = server.start_make(make).await.unwrap_err();
    assert!(matches!(refused, Error::Make(_)), "{refused:?}");
    for _ in 0..3 {
        assert_eq!(generation_of(&addr).await, 1);
    }
    assert_eq!(first.status(), ServerStatus::Running);
    assert!(path.exists());
    stop(&first).await;
}

#[tokio::test]
async fn a_paused_server_is_handed_over_too() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let first = generation(1, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap();
    first.pause();
    let mut waits = connect_to(first.local_addr()).await;
    let second = generation(2, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap();
    assert_eq!(soon(waits.read_u8()).await.unwrap(), 2);
    drop(waits);
    soon(first.wait()).await.unwrap();
    stop(&second).await;
}

#[tokio::test]
async fn a_successor_waits_for_the_client_that_is_being_accepted() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let is_accepting = Arc::new(AtomicU64::new(0));
    let accepting = is_accepting.clone();
    // The acceptor has its own thread, which it may block.
    let first = Server::bind("127.0.0.1:0").per_core().acceptors(1);
    let first = first.on_accept(move |_| {
        accepting.store(1, Relaxed);
        let _ = released.lock().unwrap().recv();
        Ok(())
    });
    let first = generation(1, first, &path).await.unwrap();
    let mut client = connect_to(first.local_addr()).await;
    until("the accept", || is_accepting.load(Relaxed) == 1).await;
    let second = beside({
        let path = path.clone();
        async move { generation(2, Server::bind("127.0.0.1:0"), &path).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished(), "the old acceptor is still accepting");
    drop(release);
    let second = soon(second).await.unwrap().unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 1);
    drop(client);
    soon(first.wait()).await.unwrap();
    stop(&second).await;
}

#[tokio::test]
async fn connections_that_stay_are_aborted_at_the_deadline() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let handover = Handover::new(&path).shutdown(Shutdown::new(Duration::from_millis(50)));
    let first = generation(1, Server::bind("127.0.0.1:0"), handover)
        .await
        .unwrap();
    let mut stays = connect_to(first.local_addr()).await;
    assert_eq!(stays.read_u8().await.unwrap(), 1);
    let second = generation(2, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap();
    let report = soon(first.wait()).await.unwrap();
    assert_eq!((report.finished, report.aborted), (0, 1));
    let _ = rest(&mut stays).await;
    stop(&second).await;
}

#[tokio::test]
async fn a_server_that_drains_is_not_replaced_and_the_next_one_starts_by_itself() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let first = generation(1, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap();
    let mut client = connect_to(first.local_addr()).await;
    assert_eq!(client.read_u8().await.unwrap(), 1);
    let drain = beside({
        let first = first.clone();
        async move { first.drain(LONG).await }
    });
    until("the drain", || !path.exists()).await;
    let second = generation(2, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap();
    assert_ne!(second.local_addr(), first.local_addr());
    drop(client);
    soon(drain).await.unwrap();
    assert!(path.exists(), "it belongs to the second server");
    stop(&second).await;
}

#[tokio::test]
async fn a_server_that_starts_while_another_drains_waits_for_its_address() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let server = Server::bind("127.0.0.1:0");
    let mut current = generation(1, server, &path).await.unwrap();
    let addr = current.local_addr().clone();
    for number in 2..6 {
        // The path goes first, and the sockets only after the queue.
        let drain = beside(async move { current.drain(LONG).await });
        until("the drain", || !path.exists()).await;
        current = generation(number, Server::bind(&addr), &path)
            .await
            .unwrap();
        assert_eq!(generation_of(&addr).await, number);
        soon(drain).await.unwrap();
    }
    stop(&current).await;
}

#[tokio::test]
async fn a_path_that_a_dead_server_left_is_replaced() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = generation(1, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap();
    stop(&server).await;
    std::fs::write(&path, "a file").unwrap();
    let refused = generation(1, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap_err();
    assert!(matches!(
        refused,
        Error::Bind { .. } | Error::Handover { .. }
    ));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file");
}

async fn restarts(rounds: u8, server: impl Fn() -> Server, path: &Path) {
    let mut current = generation(0, server(), path).await.unwrap();
    let addrs: Vec<_> = current.local_addrs().collect();
    let mut loads: Vec<_> = addrs.iter().map(|addr| Load::after(addr, 1)).collect();
    for round in 1..=rounds {
        for load in &mut loads {
            let before = load.served.load(Relaxed);
            load.reaches(before + 20).await;
        }
        let next = generation(round, server(), path).await.unwrap();
        soon(current.wait()).await.unwrap();
        assert_eq!(next.local_addrs().collect::<Vec<_>>(), addrs);
        current = next;
    }
    for load in loads {
        let (_, refused) = load.end().await;
        assert_eq!(refused, 0, "the queue never closes");
    }
    stop(&current).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptors_that_are_added_during_a_succession_lose_no_client() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let server = || Server::bind("127.0.0.1:0").options(|options| options.reuse_port = true);
    for _ in 0..5 {
        let first = generation(1, server(), &path).await.unwrap();
        let mut load = Load::after(first.local_addr(), 1);
        load.reaches(20).await;
        let slow = tower::service_fn(async |_: reagent::Acceptor| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, BoxError>(handle(async |mut conn: Connection| {
                conn.write_u8(2).await?;
                echo(conn).await
            }))
        });
        let second = beside(server().handover(&path).start_make(slow));
        while !second.is_finished() {
            for count in [8, 2, 6] {
                first.set_acceptors(count);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let second = second.await.unwrap().unwrap();
        soon(first.wait()).await.unwrap();
        assert_eq!(load.end().await.1, 0);
        stop(&second).await;
    }
}

#[tokio::test]
async fn a_listener_that_is_closed_during_a_succession_that_fails_is_closed_then() {
    let dir = Dir::new();
    let (path, app) = (dir.path("handover.sock"), dir.path("app.sock"));
    let binds = || Server::bind(["127.0.0.1:0".to_owned(), unix(&app)]);
    let first = generation(1, binds(), &path).await.unwrap();
    let (sender, made) = tokio::sync::oneshot::channel::<()>();
    let made = Arc::new(std::sync::Mutex::new(Some(made)));
    let has_sockets = Arc::new(AtomicU64::new(0));
    let makes = has_sockets.clone();
    let fails = tower::service_fn(move |_: reagent::Acceptor| {
        let made = made.lock().unwrap().take();
        makes.store(1, Relaxed);
        async move {
            match made {
                Some(made) => drop(made.await),
                None => std::future::pending().await,
            }
            Err::<reagent::Handler<fn(Connection) -> std::future::Ready<io::Result<()>>>, BoxError>(
                "no service".into(),
            )
        }
    });
    let second = beside(binds().handover(&path).start_make(fails));
    until("the offer", || has_sockets.load(Relaxed) == 1).await;
    let addr = first.local_addrs().nth(1).unwrap();
    let closed = beside({
        let first = first.clone();
        async move { first.close_listener(&addr).await }
    });
    settled().await;
    // Clients that come meanwhile are served.
    let mut client = UnixStream::connect(&app).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 1);
    drop(sender);
    soon(second).await.unwrap().unwrap_err();
    assert!(soon(closed).await.unwrap());
    assert!(!app.exists());
    drop(client);
    stop(&first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_or_reset_over_many_restarts() {
    let dir = Dir::new();
    let app = dir.path("app.sock");
    let server = || Server::bind(["127.0.0.1:0".to_owned(), unix(&app)]);
    restarts(30, server, &dir.path("handover.sock")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_queue_of_a_reuse_port_address_is_handed_over() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let acceptors = std::sync::atomic::AtomicUsize::new(0);
    let server = || {
        // Fewer and more acceptors than the predecessor had.
        let count = [4, 1, 3, 2][acceptors.fetch_add(1, Relaxed) % 4];
        let server = Server::bind("127.0.0.1:0").acceptors(count);
        server.options(|options| options.reuse_port = true)
    };
    restarts(20, server, &path).await;
}

#[tokio::test]
async fn the_successor_waits_for_its_own_successor_only_while_it_runs() {
    let dir = Dir::new();
    let path = dir.path("handover.sock");
    let server = generation(1, Server::bind("127.0.0.1:0"), &path)
        .await
        .unwrap();
    let mut strangers = Vec::new();
    for _ in 0..10 {
        strangers.push(UnixStream::connect(&path).await.unwrap());
    }
    strangers[0]
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    settled().await;
    assert_eq!(generation_of(server.local_addr()).await, 1);
    stop(&server).await;
    let left = soon(rest(&mut strangers[9])).await;
    assert!(left.is_ok_and(|bytes| bytes.is_empty()));
    assert!(UnixStream::connect(&path).await.is_err());
    let other = serve("127.0.0.1:0").await;
    assert!(
        TcpStream::connect(other.local_addr().to_string())
            .await
            .is_ok()
    );
    stop(&other).await;
}
