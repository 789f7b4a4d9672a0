//! Regression tests for attacks on the core.

use crate::support::{
    Dir, Log, Moody, connect, echo, echoes, memory_server, soon, stop, tcp_server, unix, until,
};
use reagent::{
    BoxError, Connection, Error, Server, ServerHandle, Spawn, TokioSpawn, handle,
    testing::{FlakyListener, MemoryListener},
};
use std::{
    future::Future,
    io,
    net::Shutdown,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::UnixStream, time::Instant};

/// Starts a server with a listening socket that is also held elsewhere, and shuts the socket down.
async fn shut_down(server: Server, log: &Log) -> ServerHandle {
    let kept = Arc::new(Mutex::new(Vec::<OwnedFd>::new()));
    let keep = kept.clone();
    let server = server
        .observe(log.clone())
        .options(move |options| {
            options.before_bind(move |socket| {
                keep.lock().unwrap().push(socket.try_clone()?.into());
                Ok(())
            });
        })
        .start(handle(echo))
        .await
        .unwrap();
    // The server is waiting for a client by now.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let socket = kept.lock().unwrap().remove(0);
    socket2::SockRef::from(&socket)
        .shutdown(Shutdown::Both)
        .unwrap();
    server
}

#[tokio::test]
async fn a_unix_socket_that_was_shut_down_is_replaced() {
    let (dir, log) = (Dir::new(), Log::default());
    let path = dir.path("app.sock");
    let server = shut_down(Server::bind(unix(&path)), &log).await;
    log.wait_for("listener reopened", 1).await;
    assert_eq!(log.count("listener lost"), 1);
    let mut client = UnixStream::connect(&path).await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    stop(&server).await;
}

#[tokio::test]
async fn a_tcp_socket_that_was_shut_down_is_replaced() {
    let log = Log::default();
    let server = shut_down(Server::bind("127.0.0.1:0"), &log).await;
    log.wait_for("listener reopened", 1).await;
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    stop(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_lost_again_and_again_is_reopened_with_delays() {
    let (listener, clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    script.fail_accepts((0..12).map(|_| io::Error::from_raw_os_error(libc::EINVAL)));
    let began = Instant::now();
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "at last").await);
    // The first reopening is immediate. The delays start at 10 ms and double up to one second.
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(script.reopens(), 12);
    drop(client);
    stop(&server).await;
}

#[tokio::test]
async fn a_drain_right_after_the_start_serves_the_queue() {
    let (server, _accepted) = tcp_server();
    let server = server.start(handle(obedient)).await.unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    // The supervisor has not run yet, because there was no await.
    let mut clients: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect(addr).unwrap())
        .collect();
    let report = server.drain(Duration::from_secs(5)).await;
    assert_eq!((report.finished, report.aborted), (4, 0));
    for client in &mut clients {
        let mut byte = [0];
        assert_eq!(std::io::Read::read(client, &mut byte).unwrap(), 1);
    }
}

async fn obedient(mut conn: Connection) -> io::Result<()> {
    tokio::io::AsyncWriteExt::write_all(&mut conn, b"x").await
}

#[tokio::test]
async fn a_drain_while_every_acceptor_backs_off_serves_the_queue() {
    let (service, failures) = Moody::new(handle(obedient));
    let log = Log::default();
    let server = Server::bind("127.0.0.1:0")
        .observe(log.clone())
        .start(service)
        .await
        .unwrap();
    failures.store(6, SeqCst);
    let mut client = connect(&server).await;
    log.wait_for("acceptor failed", 5).await;
    failures.store(0, SeqCst);
    let report = server.drain(Duration::from_secs(5)).await;
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert_eq!(soon(client.read_u8()).await.unwrap(), b'x');
}

#[tokio::test]
async fn a_panic_in_a_hook_of_the_options_costs_a_socket_and_not_the_server() {
    let sockets = Arc::new(AtomicUsize::new(0));
    let opened = sockets.clone();
    let server = Server::bind("127.0.0.1:0")
        .options(move |options| {
            options.reuse_port = true;
            options.before_bind(move |_| match opened.fetch_add(1, SeqCst) {
                1 => panic!("over the second socket"),
                _ => Ok(()),
            });
        })
        .start(handle(echo))
        .await
        .unwrap();
    server.set_acceptors(2);
    until("it is tried again", || sockets.load(SeqCst) >= 3).await;
    until("both accept", || server.stats().acceptors == 2).await;
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    stop(&server).await;
}

/// Panics on clone while the flag is set.
struct Fragile(Arc<AtomicBool>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(!self.0.load(SeqCst), "not now");
        Fragile(self.0.clone())
    }
}

impl Spawn for Fragile {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        TokioSpawn.spawn(task);
    }
}

#[tokio::test]
async fn a_panic_in_a_users_clone_does_not_end_the_server() {
    let (server, clients, _accepted) = memory_server();
    let panics = Arc::new(AtomicBool::new(false));
    let server = server
        .spawn_with(Fragile(panics.clone()))
        .start(handle(echo))
        .await
        .unwrap();
    panics.store(true, SeqCst);
    server.set_acceptors(2);
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "meanwhile").await);
    panics.store(false, SeqCst);
    until("the second is there", || server.stats().acceptors == 2).await;
    drop(client);
    stop(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_before_it_has_served_is_made_less_and_less_often() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let make = tower::service_fn(move |_: reagent::Acceptor| {
        count.fetch_add(1, SeqCst);
        let (service, failures) = Moody::new(handle(echo));
        failures.store(1, SeqCst);
        async { Ok::<_, BoxError>(service) }
    });
    let (listener, clients) = MemoryListener::new();
    let _server = Server::new(listener).start_make(make).await.unwrap();
    let _client = clients.connect().await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let made = made.load(SeqCst);
    assert!(made < 30, "made {made} times in 10 s");
}

#[tokio::test]
async fn options_that_would_be_cut_down_are_refused() {
    type Change = fn(&mut reagent::SocketOptions);
    let changes: [(Change, &str); 6] = [
        (|options| options.recv_buffer = Some(1 << 32), "SO_RCVBUF"),
        (
            |options| options.send_buffer = Some(usize::MAX),
            "SO_SNDBUF",
        ),
        (|options| options.tos = Some(300), "IP_TOS"),
        (
            |options| options.device = Some(String::new()),
            "SO_BINDTODEVICE",
        ),
        (
            |options| options.congestion = Some("cubic\0z".to_owned()),
            "TCP_CONGESTION",
        ),
        (
            |options| options.incoming_cpu = Some(usize::MAX),
            "SO_INCOMING_CPU",
        ),
    ];
    for (change, name) in changes {
        let server = Server::bind("127.0.0.1:0").options(change);
        let error = server.start(handle(echo)).await.unwrap_err();
        assert!(matches!(error, Error::Bind { .. }), "{error}");
        let text = reagent::ErrorChain(&error).to_string();
        assert!(text.contains(name), "{text}");
    }
}

#[tokio::test]
async fn a_guard_that_comes_too_late_is_let_go() {
    let (server, clients, mut accepted) = memory_server();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let server = server
        .start(handle(move |conn: Connection| {
            let (io, parts) = conn.into_parts();
            drop(io);
            sender.send(parts).unwrap();
            async { Ok::<_, BoxError>(()) }
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    soon(accepted.next().await.closed()).await;
    let conn = receiver.recv().await.unwrap().with_io(());
    let guard = Arc::new(());
    conn.keep(guard.clone());
    assert_eq!(Arc::strong_count(&guard), 1);
    stop(&server).await;
}

#[tokio::test]
async fn an_abstract_name_must_have_a_name() {
    let error = Server::bind("unix:@")
        .start(handle(echo))
        .await
        .unwrap_err();
    let text = reagent::ErrorChain(&error).to_string();
    assert!(text.contains("missing"), "{text}");
}
